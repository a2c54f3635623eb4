//! What stands on one side of a pair while it is replaced: neighbour ids, how often, and where.

/// Collects (neighbour, place) and groups the places by neighbour, keeping their order.
#[derive(Default)]
pub struct Neighbours {
    seen: Vec<(u32, u32)>,
    ids: Vec<u32>,
    /// Index: id; zero for ids not seen.
    counts: Vec<u32>,
    cursors: Vec<u32>,
    grouped: Vec<u32>,
    starts: Vec<u32>,
}

impl Neighbours {
    /// Forget everything and make room for ids below `num_ids`.
    pub fn reset(&mut self, num_ids: usize) {
        for &id in &self.ids {
            self.counts[id as usize] = 0;
        }
        self.ids.clear();
        self.seen.clear();
        self.counts.resize(num_ids, 0);
        self.cursors.resize(num_ids, 0);
    }

    /// Note that `id` was met and that its pair with the new token stands at `place`.
    #[inline]
    pub fn add(&mut self, id: u32, place: u32) {
        let count = &mut self.counts[id as usize];
        if *count == 0 {
            self.ids.push(id);
        }
        *count += 1;
        self.seen.push((id, place));
    }

    /// Group the places; [`Neighbours::groups`] shows the result.
    pub fn group(&mut self) {
        self.starts.clear();
        let mut start = 0;
        for &id in &self.ids {
            self.starts.push(start);
            self.cursors[id as usize] = start;
            start += self.counts[id as usize];
        }
        self.starts.push(start);
        self.grouped.clear();
        self.grouped.resize(self.seen.len(), 0);
        for &(id, place) in &self.seen {
            let cursor = &mut self.cursors[id as usize];
            self.grouped[*cursor as usize] = place;
            *cursor += 1;
        }
    }

    /// Every neighbour with its places, after [`Neighbours::group`].
    pub fn groups(&self) -> impl Iterator<Item = (u32, &[u32])> {
        self.ids
            .iter()
            .zip(self.starts.windows(2))
            .map(|(&id, bounds)| (id, &self.grouped[bounds[0] as usize..bounds[1] as usize]))
    }
}
