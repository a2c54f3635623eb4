//! Storage for the lists of places: long lists own their memory, short ones share blocks.

const OWN_FROM: usize = 2048;
const BLOCK: usize = 1 << 16;

/// Where a list lies.
#[derive(Debug, Clone, Copy)]
pub struct PlaceList {
    block: u32,
    start: u32,
    length: u32,
}

/// All lists of a training run.
#[derive(Default)]
pub struct Places {
    blocks: Vec<Vec<u32>>,
    /// Block that short lists go to, if any has room.
    open: Option<u32>,
}

impl Places {
    /// Copy a list into storage.
    pub fn store(&mut self, list: &[u32]) -> PlaceList {
        if list.len() >= OWN_FROM {
            return self.own(list.to_vec());
        }
        let has_room =
            |block: u32, blocks: &[Vec<u32>]| blocks[block as usize].len() + list.len() <= BLOCK;
        let block = match self.open {
            Some(block) if has_room(block, &self.blocks) => block,
            _ => {
                self.blocks.push(Vec::with_capacity(BLOCK));
                (self.blocks.len() - 1) as u32
            }
        };
        self.open = Some(block);
        let held = &mut self.blocks[block as usize];
        let start = held.len() as u32;
        held.extend_from_slice(list);
        PlaceList {
            block,
            start,
            length: list.len() as u32,
        }
    }

    fn own(&mut self, list: Vec<u32>) -> PlaceList {
        let length = list.len() as u32;
        self.blocks.push(list);
        PlaceList {
            block: (self.blocks.len() - 1) as u32,
            start: 0,
            length,
        }
    }

    /// The places of a list.
    pub fn get(&self, list: &PlaceList) -> &[u32] {
        let start = list.start as usize;
        &self.blocks[list.block as usize][start..start + list.length as usize]
    }

    /// Give the memory of a long list back; short ones share theirs with others.
    pub fn free(&mut self, list: PlaceList) {
        if list.length as usize >= OWN_FROM {
            self.blocks[list.block as usize] = Vec::new();
        }
    }
}
