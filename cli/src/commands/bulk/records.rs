//! Where in a record its ciphertext stands. Only those bytes are replaced: order, quoting, spaces and line ends of the file
//! stay as they are.

use serde_json::value::RawValue;
use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read as _},
    ops::Range,
};

/// A record longer than this is a file of another kind, or a quote that is never closed.
const MAX_RECORD: usize = 16 * 1024 * 1024;

/// How ciphertexts are written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// One a line.
    Lines,
    /// In this column, counted from 0, of comma-separated values (RFC 4180).
    Csv(usize),
    /// In this member of the JSON object on each line.
    JsonLines(String),
}

/// A ciphertext and the bytes it takes in its record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) text: String,
    pub(super) range: Range<usize>,
}

impl Form {
    /// Reads one record with its line end; nothing at the end of the file.
    pub(super) fn read(&self, reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
        let mut record = Vec::new();
        loop {
            let room = MAX_RECORD.saturating_sub(record.len());
            let count = reader.by_ref().take(room as u64).read_until(b'\n', &mut record)?;
            if record.len() >= MAX_RECORD {
                return Err(io::Error::other(
                    "a record of 16 MiB: is a quote never closed, or is this another kind of file?",
                ));
            }
            // A line end inside quotes belongs to the field.
            let open = matches!(self, Self::Csv(_)) && record.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
            if count == 0 || !open {
                return Ok(Some(record).filter(|record| !record.is_empty()));
            }
        }
    }

    /// Finds the ciphertext of a record.
    pub(super) fn find(&self, record: &[u8]) -> Result<Found, String> {
        let text = std::str::from_utf8(record).map_err(|_| "it is not UTF-8".to_owned())?;
        match self {
            Self::Lines => {
                let trimmed = text.trim();
                let start = text.len() - text.trim_start().len();
                Ok(Found { text: trimmed.to_owned(), range: start..start + trimmed.len() })
            }
            Self::Csv(_) if text.trim().is_empty() => Ok(Found { text: String::new(), range: 0..0 }),
            Self::Csv(column) => {
                let range = fields(record).get(*column).cloned().ok_or("it has no such column")?;
                let field = text.get(range.clone()).ok_or("it has no such column")?;
                Ok(Found { text: field.to_owned(), range })
            }
            Self::JsonLines(_) if text.trim().is_empty() => Ok(Found { text: String::new(), range: 0..0 }),
            Self::JsonLines(member) => member_of(text, member),
        }
    }

    /// The record with another ciphertext in its place.
    pub(super) fn splice(&self, record: &[u8], range: &Range<usize>, ciphertext: &str) -> Vec<u8> {
        let (before, after) =
            (record.get(..range.start).unwrap_or_default(), record.get(range.end..).unwrap_or_default());
        // Ciphertexts are base64 behind `vault:vN:`; nothing in them needs an escape in either form.
        let quote: &[u8] = if matches!(self, Self::JsonLines(_)) { b"\"" } else { b"" };
        [before, quote, ciphertext.as_bytes(), quote, after].concat()
    }
}

/// The column of this name, by the first record of a CSV file.
pub(super) fn column(header: &[u8], name: &str) -> Option<usize> {
    let header = header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header);
    let title =
        |range: Range<usize>| String::from_utf8_lossy(header.get(range).unwrap_or_default()).replace("\"\"", "\"");
    fields(header).into_iter().position(|range| title(range).trim() == name)
}

/// The fields of a CSV record, without the quotes around them and without the line end.
fn fields(record: &[u8]) -> Vec<Range<usize>> {
    let end = record.trim_ascii_end().len();
    let mut fields = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (at, byte) in record.iter().enumerate().take(end).chain([(end, &b',')]) {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted || at == end => {
                fields.push(unquoted(record, start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    fields
}

fn unquoted(record: &[u8], field: Range<usize>) -> Range<usize> {
    match record.get(field.clone()) {
        Some([b'"', .., b'"']) => field.start + 1..field.end - 1,
        _ => field,
    }
}

fn member_of(text: &str, member: &str) -> Result<Found, String> {
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(text).map_err(|error| format!("it is not a JSON object: {error}"))?;
    let raw = members.get(member).ok_or_else(|| format!("it has no member {member:?}"))?.get();
    // The raw value is a part of the line itself, so its place is the distance between the two.
    let start = raw.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    let value: Option<String> = serde_json::from_str(raw).map_err(|_| format!("its {member:?} is no text"))?;
    Ok(Found { text: value.unwrap_or_default(), range: start..start + raw.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(form: &Form, record: &str) -> String {
        let found = form.find(record.as_bytes()).unwrap();
        String::from_utf8(form.splice(record.as_bytes(), &found.range, "NEW")).unwrap()
    }

    #[test]
    fn only_the_ciphertext_is_replaced() {
        assert_eq!(replaced(&Form::Lines, "  vault:v1:AA= \r\n"), "  NEW \r\n");
        let csv = Form::Csv(1);
        assert_eq!(replaced(&csv, "1,vault:v1:AA=,x\r\n"), "1,NEW,x\r\n");
        assert_eq!(replaced(&csv, "\"a, \"\"b\"\"\n c\",\"vault:v1:AA=\",\n"), "\"a, \"\"b\"\"\n c\",\"NEW\",\n");
        assert_eq!(replaced(&csv, "1,vault:v1:AA="), "1,NEW");
        let json = Form::JsonLines("c".to_owned());
        assert_eq!(
            replaced(&json, "{\"z\": 1.50, \"c\" : \"vault:v1:A\\/\", \"a\":[ ]}\n"),
            "{\"z\": 1.50, \"c\" : \"NEW\", \"a\":[ ]}\n"
        );
    }

    #[test]
    fn what_is_found_is_what_the_text_says() {
        let json = Form::JsonLines("c".to_owned());
        assert_eq!(json.find(br#"{"c": "vault:v1:A\/B="}"#).unwrap().text, "vault:v1:A/B=");
        assert_eq!(json.find(br#"{"c": null}"#).unwrap().text, "");
        assert_eq!(Form::Csv(0).find(b"\n").unwrap().text, "");
        for wrong in [&b"{}"[..], b"[1]", br#"{"c": 7}"#, b"{", b"\xff"] {
            assert!(json.find(wrong).is_err(), "{wrong:?}");
        }
        assert!(Form::Csv(2).find(b"a,b\n").is_err());
    }

    #[test]
    fn columns_are_found_by_their_title() {
        assert_eq!(column(b"\xef\xbb\xbfid,\"the \"\"secret\"\"\",note\r\n", "the \"secret\""), Some(1));
        assert_eq!(column(b"\xef\xbb\xbfid,b\r\n", "id"), Some(0));
        assert_eq!(column(b"id,b\r\n", "c"), None);
    }

    #[test]
    fn records_end_at_line_ends_outside_quotes() {
        let text = "a,\"b\nc\",d\ne,f";
        let mut reader = text.as_bytes();
        let csv = Form::Csv(0);
        assert_eq!(csv.read(&mut reader).unwrap().unwrap(), b"a,\"b\nc\",d\n");
        assert_eq!(csv.read(&mut reader).unwrap().unwrap(), b"e,f");
        assert_eq!(csv.read(&mut reader).unwrap(), None);
        let mut reader = text.as_bytes();
        assert_eq!(Form::Lines.read(&mut reader).unwrap().unwrap(), b"a,\"b\n");
    }
}
