//! From JSON text to nodes, in one go; only into the lists that rows are made of.

use super::{Kind, LISTS, Node, index};

/// So many nodes have room before any are counted: 1 MiB.
const ROOM: usize = (1 << 20) / size_of::<Node>();

/// The nodes of a text that is known to be JSON. Of any other they are odd ones.
///
/// They take no more memory than a small multiple of the text, whatever it holds: an ordinary document has more than 8
/// bytes per node, and of a long one, or any other, they are counted before they get more room.
pub(super) fn nodes(text: &str) -> Vec<Node> {
    let mut list = NodeList {
        text,
        nodes: Vec::with_capacity((text.len() / 8).min(ROOM)),
        open: Vec::new(),
    };
    walk(text, &mut |step| list.take(step));
    list.nodes
}

/// What is found on the way.
enum Step {
    /// A key, or a value that is not walked into.
    Whole {
        start: usize,
        end: usize,
        kind: Kind,
    },
    /// An element of a list that is not an object.
    Other { follows_other: bool },
    /// The beginning of an object or list that is walked into.
    Begin { start: usize, kind: Kind },
    /// The end of the one that was begun last.
    End { end: usize },
}

struct NodeList<'a> {
    text: &'a str,
    nodes: Vec<Node>,
    /// The nodes of the lists and objects that are open.
    open: Vec<u32>,
}

impl NodeList<'_> {
    #[inline]
    fn take(&mut self, step: Step) {
        match step {
            Step::Whole { start, end, kind } => self.push(number(start), number(end), kind),
            Step::Begin { start, kind } => {
                self.open.push(number(self.nodes.len()));
                self.push(number(start), number(start), kind);
            }
            Step::End { end } => {
                let next = number(self.nodes.len());
                let begun = self.open.pop().and_then(|at| usize::try_from(at).ok());
                if let Some(node) = begun.and_then(|at| self.nodes.get_mut(at)) {
                    node.end = number(end);
                    node.next = next;
                }
            }
            Step::Other {
                follows_other: true,
            } => {
                if let Some(run) = self.nodes.last_mut() {
                    run.start = run.start.saturating_add(1);
                }
            }
            Step::Other { .. } => self.push(1, 0, Kind::Others),
        }
    }

    #[inline]
    fn push(&mut self, start: u32, end: u32, kind: Kind) {
        if self.nodes.len() == self.nodes.capacity() {
            self.make_room();
        }
        let next = number(self.nodes.len() + 1);
        self.nodes.push(Node {
            start,
            end,
            next,
            kind,
        });
    }

    /// For all that the text has.
    #[cold]
    fn make_room(&mut self) {
        let mut count = 0;
        walk(self.text, &mut |step| match step {
            Step::Whole { .. } | Step::Begin { .. } => count += 1,
            Step::Other { follows_other } => count += usize::from(!follows_other),
            Step::End { .. } => {}
        });
        self.nodes
            .reserve_exact(count.saturating_sub(self.nodes.len()));
    }
}

/// Tells each step of the way through a text.
fn walk(text: &str, tell: &mut impl FnMut(Step)) {
    let bytes = text.as_bytes();
    // Whether the objects and lists that are open are lists.
    let mut open: Vec<bool> = Vec::new();
    let mut at = 0;
    // Whether a key comes next, and whether the last one is that of a list.
    let (mut is_key, mut is_list) = (false, false);
    let mut follows_other = false;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        at += 1;
        let in_list = open.last() == Some(&true);
        let (end, kind) = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => continue,
            b',' => {
                is_key = true;
                continue;
            }
            b':' => {
                is_key = false;
                continue;
            }
            b'}' | b']' => {
                open.pop();
                follows_other = false;
                tell(Step::End { end: at });
                continue;
            }
            b'{' if in_list || open.is_empty() => {
                open.push(false);
                (is_key, follows_other) = (true, false);
                tell(Step::Begin {
                    start,
                    kind: Kind::Object,
                });
                continue;
            }
            b'[' if is_list && !in_list => {
                open.push(true);
                follows_other = false;
                tell(Step::Begin {
                    start,
                    kind: Kind::Array,
                });
                continue;
            }
            b'{' => (end_of_nested(bytes, at), Kind::Object),
            b'[' => (end_of_nested(bytes, at), Kind::Array),
            b'"' => {
                let (end, escaped) = end_of_string(bytes, at);
                let kind = if escaped {
                    Kind::EscapedText
                } else {
                    Kind::Text
                };
                (end + 1, kind)
            }
            _ => (end_of_scalar(bytes, at), scalar_kind(byte)),
        };
        at = end;
        if in_list {
            tell(Step::Other { follows_other });
            follows_other = true;
            continue;
        }
        let is_text = matches!(kind, Kind::Text | Kind::EscapedText);
        let (start, end) = match is_text {
            true => (start + 1, (end - 1).min(bytes.len())),
            false => (start, end),
        };
        let node = Step::Whole { start, end, kind };
        if is_key && is_text {
            let key = text.get(start..end).unwrap_or_default();
            is_list = names_a_list(key, kind);
        }
        tell(node);
    }
}

fn names_a_list(key: &str, kind: Kind) -> bool {
    if kind == Kind::Text {
        return LISTS.contains(&key);
    }
    serde_json::from_str::<String>(&format!("\"{key}\""))
        .is_ok_and(|key| LISTS.contains(&key.as_str()))
}

fn scalar_kind(first: u8) -> Kind {
    match first {
        b'n' => Kind::Null,
        b't' => Kind::True,
        b'f' => Kind::False,
        _ => Kind::Number,
    }
}

fn end_of_scalar(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
    from + rest.iter().position(is_end).unwrap_or(rest.len())
}

/// Behind the bracket that closes the array or object whose content begins at `from`.
fn end_of_nested(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    let mut depth = 1_usize;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = end_of_string(bytes, at).0 + 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            _ => {}
        }
    }
    at.min(bytes.len())
}

/// Where the string ends that begins at `start`, and whether it has backslashes.
#[inline]
pub(super) fn end_of_string(bytes: &[u8], start: usize) -> (usize, bool) {
    let mut at = start;
    let mut escaped = false;
    loop {
        at += plain(bytes.get(at..).unwrap_or_default());
        match bytes.get(at) {
            Some(b'\\') => {
                escaped = true;
                at += 2;
            }
            _ => return (at.min(bytes.len()), escaped),
        }
    }
}

/// How many bytes come before the first quote or backslash; looks at eight at a time, as almost all text is in strings.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    /// The lowest high bit that is set stands where the first byte is equal to `byte`; those above it count for nothing.
    fn equal(eight: u64, byte: u8) -> u64 {
        let zero = eight ^ (ONES * u64::from(byte));
        zero.wrapping_sub(ONES) & !zero & (ONES << 7)
    }
    let (chunks, rest) = bytes.as_chunks();
    for (number, chunk) in chunks.iter().enumerate() {
        let eight = u64::from_le_bytes(*chunk);
        let found = equal(eight, b'"') | equal(eight, b'\\');
        if found != 0 {
            return number * 8 + index(found.trailing_zeros() / 8);
        }
    }
    let at_end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'));
    chunks.len() * 8 + at_end.unwrap_or(rest.len())
}

/// Answers are limited to far less than 4 GiB.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
