//! PEM (RFC 7468) from outside, read the way Go's `encoding/pem` reads it: text around the blocks is skipped, headers
//! are skipped, and a block that is not well formed counts as text.

use crate::encoding;
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "\n-----END ";
const DASHES: &str = "-----";

/// A block.
pub(crate) struct Block<'t> {
    pub(crate) label: &'t str,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// The first block of `text` and what follows its last line. `None` where there is no block.
///
/// Each end line is looked at once, so that a long text of beginnings costs no more than its length.
pub(crate) fn first(text: &str) -> Option<(Block<'_>, &str)> {
    let mut rest = text;
    loop {
        let end = rest.find(END)?;
        let (candidate, tail) = rest.split_at_checked(end + 1)?;
        match last_beginning(candidate).and_then(|block| complete(block, tail)) {
            Some(found) => return Some(found),
            None => rest = tail.get(END.len() - 1..)?,
        }
    }
}

/// What follows the last `-----BEGIN ` that stands at the start of a line.
fn last_beginning(text: &str) -> Option<&str> {
    text.rmatch_indices(BEGIN)
        .find(|(at, _)| *at == 0 || text.as_bytes().get(at - 1) == Some(&b'\n'))
        .and_then(|(at, _)| text.get(at + BEGIN.len()..))
}

/// Reads a block whose beginning and whose end line are known.
fn complete<'t>(block: &'t str, end: &'t str) -> Option<(Block<'t>, &'t str)> {
    let (first, mut body) = line(block);
    let label = first.strip_suffix(DASHES)?;
    let (last, rest) = line(end);
    if last.strip_prefix(BEGIN.replace("BEGIN", "END").as_str())?.strip_suffix(DASHES)? != label {
        return None;
    }
    while let (header, after) = line(body)
        && header.contains(':')
    {
        body = after;
    }
    let body: Zeroizing<String> = Zeroizing::new(body.chars().filter(|c| !matches!(c, ' ' | '\t')).collect());
    let der = encoding::decode(&body).ok()?;
    Some((Block { label, der }, rest))
}

/// A line without the white space at its end, and what follows it.
fn line(text: &str) -> (&str, &str) {
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    (line.trim_end_matches([' ', '\t', '\r']), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(mut text: &str) -> Vec<(&str, Vec<u8>)> {
        let mut found = Vec::new();
        while let Some((block, rest)) = first(text) {
            found.push((block.label, block.der.to_vec()));
            text = rest;
        }
        found
    }

    #[test]
    fn blocks_are_found_between_other_text() {
        let text = "junk\n-----BEGIN A-----\nAAAA\n-----END A-----\njunk\r\n-----BEGIN B B-----\r\nK: v\r\nAQ\r\n==\r\n-----END B B----- \r\nx";
        assert_eq!(labels(text), [("A", vec![0, 0, 0]), ("B B", vec![1])]);
        assert_eq!(first("-----BEGIN A-----\nAAAA\n-----END A-----").unwrap().1, "");
    }

    #[test]
    fn what_is_not_well_formed_counts_as_text() {
        for text in [
            "",
            "-----BEGIN A-----",
            "-----BEGIN A-----\nAAAA\n-----END B-----\n",
            "-----BEGIN A-----\nA*AA\n-----END A-----\n",
            "-----BEGIN A-----\nAAA\n-----END A-----\n",
            "-----BEGIN A\nAAAA\n-----END A-----\n",
            "-----BEGIN A-----\nAAAA\n-----END A----- x\n",
            "x-----BEGIN A-----\nAAAA\n-----END A-----\n",
        ] {
            assert_eq!(labels(text), [], "{text:?}");
        }
        let behind = "-----BEGIN A-----\n-----BEGIN B-----\nAAAA\n-----END B-----\n";
        assert_eq!(labels(behind), [("B", vec![0, 0, 0])]);
    }

    #[test]
    fn many_beginnings_cost_no_more_than_their_length() {
        let text = "-----BEGIN A-----\n".repeat(50_000) + "\n-----END B-----\n";
        assert!(first(&text).is_none());
        assert!(first(&"-----BEGIN A-----\n\n-----END B-----\n".repeat(50_000)).is_none());
    }
}
