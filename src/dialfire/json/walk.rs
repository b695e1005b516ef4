//! From JSON text to nodes, in one go.

use super::{Kind, Node};

/// The nodes of a text that is known to be JSON. Of any other they are odd ones.
pub(super) fn nodes(text: &str) -> Vec<Node> {
    let mut walk = Walk {
        text,
        nodes: Vec::with_capacity(text.len() / 16),
    };
    walk.all();
    walk.nodes
}

struct Walk<'a> {
    text: &'a str,
    nodes: Vec<Node>,
}

impl Walk<'_> {
    fn all(&mut self) {
        let bytes = self.text.as_bytes();
        // The arrays and objects that are open.
        let mut open: Vec<usize> = Vec::new();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let start = at;
            at += 1;
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => {}
                b'"' => {
                    let (end, escaped) = end_of_string(bytes, at);
                    let kind = if escaped {
                        Kind::EscapedText
                    } else {
                        Kind::Text
                    };
                    self.push(at, end, kind);
                    at = end + 1;
                }
                b'{' | b'[' => {
                    open.push(self.nodes.len());
                    let kind = if byte == b'{' {
                        Kind::Object
                    } else {
                        Kind::Array
                    };
                    self.push(start, at, kind);
                }
                b'}' | b']' => {
                    let next = number(self.nodes.len());
                    if let Some(node) = open.pop().and_then(|n| self.nodes.get_mut(n)) {
                        node.end = number(at);
                        node.next = next;
                    }
                }
                _ => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    at += rest
                        .iter()
                        .position(|b| {
                            matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')
                        })
                        .unwrap_or(rest.len());
                    let kind = match byte {
                        b'n' => Kind::Null,
                        b't' => Kind::True,
                        b'f' => Kind::False,
                        _ => Kind::Number,
                    };
                    self.push(start, at, kind);
                }
            }
        }
    }

    fn push(&mut self, start: usize, end: usize, kind: Kind) {
        let next = number(self.nodes.len() + 1);
        self.nodes.push(Node {
            start: number(start),
            end: number(end),
            next,
            kind,
        });
    }
}

/// Where the string ends that begins at `start`, and whether it has backslashes.
fn end_of_string(bytes: &[u8], start: usize) -> (usize, bool) {
    let mut at = start;
    let mut escaped = false;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => break,
            b'\\' => {
                escaped = true;
                at += 2;
            }
            _ => at += 1,
        }
    }
    (at.min(bytes.len()), escaped)
}

/// Answers are limited to far less than 4 GiB.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
