//! Lines of one form that differ in little: where their parts stand, and which are otherwise alike.
//!
//! A line is `head name mark0 .. mark1 list mark2 list mark3 .. tail`: a name and two lists of names
//! stand between fixed marks, and what is left (before `mark1` and behind `mark3`) is its content.
//! `ecg_fairseq/records/questions/question_lines.py` holds the marks and the readable twin.

use rustc_hash::FxHashMap;

/// What stands around the parts of a line.
pub struct Form<'a> {
    pub head: &'a [u8],
    pub marks: [&'a [u8]; 4],
    pub tail: &'a [u8],
    /// Between the names of a list.
    pub comma: &'a [u8],
    /// Bytes at the start of `mark0` and `mark3` that belong to the name or list before them.
    pub closing: [usize; 2],
}

/// Places in the text, each pair a start and an end.
#[derive(Default, Debug, PartialEq)]
pub struct Parts {
    pub names: Vec<[i64; 2]>,
    pub first_items: Vec<[i64; 2]>,
    pub second_items: Vec<[i64; 2]>,
    /// Names in each of the two lists of a line.
    pub counts: Vec<i64>,
    /// Start and end of the two pieces of content of a line.
    pub contents: Vec<[i64; 4]>,
    /// Number of the first line with the same content.
    pub alike: Vec<i64>,
}

type Numbers = FxHashMap<Box<[u8]>, i64>;

/// Contents met so far, with the number of the first line that has each.
#[derive(Default)]
pub struct Contents {
    /// Piece behind the lists -> piece before them -> number.
    numbers: FxHashMap<Box<[u8]>, Numbers>,
    len: usize,
}

impl Contents {
    /// Contents that are remembered; lines with further ones count as the first of their kind.
    const MOST: usize = 1 << 16;

    fn first(&mut self, before: &[u8], after: &[u8], number: i64) -> i64 {
        let found = self.numbers.get(after).and_then(|with| with.get(before));
        if let Some(&first) = found {
            return first;
        }
        if self.len < Self::MOST {
            self.len += 1;
            let with = self.numbers.entry(after.into()).or_default();
            with.insert(before.into(), number);
        }
        number
    }
}

/// Cut every line; None when one has another form.
///
/// `bounds`: start and end of each line in `text`; `number`: of the first of them in all text.
pub fn cut(
    text: &[u8],
    bounds: &[(usize, usize)],
    form: &Form<'_>,
    known: &mut Contents,
    number: i64,
) -> Option<Parts> {
    let mut parts = Parts::default();
    for &(start, end) in bounds {
        let line = text.get(start..end)?;
        let [before, after] = cut_line(line, start, form, &mut parts)?;
        let [one, other] = [before, after].map(|piece| moved(piece, start));
        parts.contents.push([one[0], one[1], other[0], other[1]]);
        let own = number + parts.alike.len() as i64;
        let (before, after) = (&line[before.0..before.1], &line[after.0..after.1]);
        parts.alike.push(known.first(before, after, own));
    }
    Some(parts)
}

type Piece = (usize, usize);

fn cut_line(line: &[u8], start: usize, form: &Form<'_>, parts: &mut Parts) -> Option<[Piece; 2]> {
    if !line.starts_with(form.head) || !line.ends_with(form.tail) {
        return None;
    }
    let mut marks = [0; 4];
    let mut from = form.head.len();
    for (place, mark) in marks.iter_mut().zip(form.marks) {
        *place = from + find(line.get(from..)?, mark)?;
        from = *place + mark.len();
    }
    let name = (form.head.len(), marks[0]);
    let end = line.len().checked_sub(form.tail.len())?;
    let after = (marks[3] + form.closing[1], end);
    if !is_plain(&line[name.0..name.1]) || contains(&line[name.0..name.1], b'"') || after.0 > end {
        return None;
    }
    parts.names.push(moved(name, start));
    let lists = [
        (marks[1] + form.marks[1].len(), marks[2]),
        (marks[2] + form.marks[2].len(), marks[3]),
    ];
    let num_first = cut_list(line, lists[0], start, form, &mut parts.first_items)?;
    let num_second = cut_list(line, lists[1], start, form, &mut parts.second_items)?;
    if num_first != num_second {
        return None;
    }
    parts.counts.push(num_first);
    Some([(marks[0] + form.closing[0], marks[1]), after])
}

fn cut_list(
    line: &[u8],
    (from, to): Piece,
    start: usize,
    form: &Form<'_>,
    items: &mut Vec<[i64; 2]>,
) -> Option<i64> {
    let before = items.len();
    let mut at = from;
    loop {
        let length = find(&line[at..to], form.comma).unwrap_or(to - at);
        let item = &line[at..at + length];
        if !is_plain(item) || contains(item, b'"') {
            return None;
        }
        items.push(moved((at, at + length), start));
        if at + length == to {
            return Some((items.len() - before) as i64);
        }
        at += length + form.comma.len();
    }
}

fn moved((from, to): Piece, start: usize) -> [i64; 2] {
    [(start + from) as i64, (start + to) as i64]
}

/// Printable ASCII without a backslash: such a JSON text is its own value.
fn is_plain(text: &[u8]) -> bool {
    text.iter()
        .all(|&byte| (b' '..=b'~').contains(&byte) && byte != b'\\')
}

fn contains(text: &[u8], wanted: u8) -> bool {
    text.contains(&wanted)
}

/// Place of `wanted` in `text`.
fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let (&first, rest) = wanted.split_first()?;
    let mut from = 0;
    while let Some(step) = text[from..].iter().position(|&byte| byte == first) {
        let place = from + step;
        if text[place + 1..].starts_with(rest) {
            return Some(place);
        }
        from = place + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Form<'static> = Form {
        head: b"{\"id\": \"",
        marks: [
            b"\", \"q\": ",
            b", \"r\": [\"",
            b"\"], \"p\": [\"",
            b"\"], \"t\": ",
        ],
        tail: b"}",
        comma: b"\", \"",
        closing: [3, 4],
    };

    fn cut_all(text: &[u8]) -> Option<Parts> {
        cut(text, &bounds(text), &FORM, &mut Contents::default(), 0)
    }

    fn bounds(text: &[u8]) -> Vec<(usize, usize)> {
        let mut start = 0;
        let lines = text.split(|&byte| byte == b'\n');
        lines
            .map(|line| {
                let found = (start, start + line.len());
                start += line.len() + 1;
                found
            })
            .collect()
    }

    fn texts<'a>(text: &'a [u8], places: &[[i64; 2]]) -> Vec<&'a str> {
        let cut = |place: &[i64; 2]| &text[place[0] as usize..place[1] as usize];
        places
            .iter()
            .map(|place| std::str::from_utf8(cut(place)).unwrap())
            .collect()
    }

    #[test]
    fn lines_are_cut_into_their_parts() {
        let text = br#"{"id": "a", "q": "x", "r": ["1", "2"], "p": ["7", "8"], "t": 3}
{"id": "b", "q": "x", "r": ["5"], "p": [""], "t": 3}
{"id": "c", "q": "y", "r": ["5"], "p": ["9"], "t": 3}"#;
        let parts = cut_all(text).unwrap();
        assert_eq!(texts(text, &parts.names), ["a", "b", "c"]);
        assert_eq!(texts(text, &parts.first_items), ["1", "2", "5", "5"]);
        assert_eq!(texts(text, &parts.second_items), ["7", "8", "", "9"]);
        assert_eq!(parts.counts, [2, 1, 1]);
        assert_eq!(parts.alike, [0, 0, 2]);
        let [from, to, then, end] = parts.contents[0].map(|place| place as usize);
        assert_eq!(&text[from..to], br#""q": "x""#);
        assert_eq!(&text[then..end], br#""t": 3"#);
    }

    #[test]
    fn contents_are_known_again_in_later_text() {
        let known = &mut Contents::default();
        let one = br#"{"id": "a", "q": "x", "r": ["1"], "p": ["7"], "t": 3}"#;
        let two = br#"{"id": "b", "q": "y", "r": ["1"], "p": ["7"], "t": 3}"#;
        for (number, (text, first)) in [(one, 0), (two, 1), (one, 0), (two, 1)].iter().enumerate() {
            let parts = cut(*text, &bounds(*text), &FORM, known, number as i64).unwrap();
            assert_eq!(parts.alike, [*first]);
        }
    }

    #[test]
    fn another_form_is_left_alone() {
        for text in [
            r#"{"id": "a\n", "q": "x", "r": ["1"], "p": ["7"], "t": 3}"#,
            r#"{"id": "ä", "q": "x", "r": ["1"], "p": ["7"], "t": 3}"#,
            r#"{"id": "a", "z": "", "q": "x", "r": ["1"], "p": ["7"], "t": 3}"#,
            r#"{"id": "a", "q": "x", "r": ["1", "2"], "p": ["7"], "t": 3}"#,
            r#"{"id": "a", "q": "x", "r": ["1","2"], "p": ["7", "8"], "t": 3}"#,
            r#"{"id": "a", "r": ["1"], "q": "x", "p": ["7"], "t": 3}"#,
            r#"{"id": "a", "q": "x", "r": ["1"], "p": ["7"], "t": 3"#,
            r#"{"id": "a", "q": "x", "r": [], "p": [], "t": 3}"#,
            "",
        ] {
            let text = text.as_bytes();
            assert_eq!(cut_all(text), None);
        }
        let known = &mut Contents::default();
        assert_eq!(cut(b"", &[(0, 5)], &FORM, known, 0), None);
    }
}
