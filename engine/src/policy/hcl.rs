//! A reader for the HCL 1 that policies are written in, and for JSON, with one syntax tree for both.
//!
//! HCL 2 readers refuse what people's policies hold: several members on one line, commas between members, several
//! blocks on one line, `${` in a text. Hence this small one. Positions are kept because the error texts carry them.

use std::{iter::Peekable, str::CharIndices};

/// Deepest nesting of objects and lists.
const MAX_DEPTH: usize = 16;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// `"text"` or a heredoc
    Text(String),
    /// `12`, `1.5`
    Number(String),
    /// `true`, `false`
    Flag(bool),
    /// `null`, in JSON only
    Null,
    /// `[ … ]`
    List(Vec<Node>),
    /// `{ … }`
    Object(Vec<Item>),
}

/// One member of an object: `key = value` or `key "label" { … }`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    /// The key and the labels behind it.
    pub(crate) keys: Vec<String>,
    /// The value.
    pub(crate) value: Node,
    /// Line of the `=`; 0 for a block.
    pub(crate) line: usize,
    /// Where the value begins, as `line:column`.
    pub(crate) place: (usize, usize),
}

/// Reads a document.
pub(crate) fn parse(text: &str) -> Result<Vec<Item>, String> {
    if text.trim_start().starts_with('{') {
        return parse_json(text);
    }
    let mut reader = Reader { chars: text.char_indices().peekable(), text, line: 1, column: 1 };
    let items = reader.items(0)?;
    Ok(items)
}

fn parse_json(text: &str) -> Result<Vec<Item>, String> {
    // The value is not quoted by serde_json's syntax errors; only line and column are.
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("At {}:{}: invalid JSON", error.line(), error.column()))?;
    match convert(value, 0)? {
        Node::Object(items) => Ok(items),
        _ => Err("error parsing: file doesn't contain a root object".to_owned()),
    }
}

fn convert(value: serde_json::Value, depth: usize) -> Result<Node, String> {
    use serde_json::Value;
    if depth > MAX_DEPTH {
        return Err("nesting is too deep".to_owned());
    }
    Ok(match value {
        Value::Null => Node::Null,
        Value::Bool(flag) => Node::Flag(flag),
        Value::Number(number) => Node::Number(number.to_string()),
        Value::String(text) => Node::Text(text),
        Value::Array(items) => {
            Node::List(items.into_iter().map(|item| convert(item, depth + 1)).collect::<Result<_, _>>()?)
        }
        Value::Object(members) => Node::Object(
            members
                .into_iter()
                .map(|(key, value)| {
                    Ok(Item { keys: vec![key], value: convert(value, depth + 1)?, line: 1, place: (1, 1) })
                })
                .collect::<Result<_, String>>()?,
        ),
    })
}

struct Reader<'a> {
    chars: Peekable<CharIndices<'a>>,
    text: &'a str,
    line: usize,
    column: usize,
}

impl Reader<'_> {
    fn error<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("At {}:{}: {what}", self.line, self.column))
    }

    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, c)| *c)
    }

    fn next(&mut self) -> Option<char> {
        let (_, c) = self.chars.next()?;
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn offset(&mut self) -> usize {
        self.chars.peek().map_or(self.text.len(), |(offset, _)| *offset)
    }

    fn rest(&mut self) -> &str {
        let offset = self.offset();
        self.text.get(offset..).unwrap_or("")
    }

    /// Skips white space and the three kinds of comment.
    fn skip_blank(&mut self) -> Result<(), String> {
        loop {
            match self.peek() {
                Some(c) if c.is_whitespace() || c == '\u{feff}' => {
                    self.next();
                }
                Some('#') => self.skip_line(),
                Some('/') if self.rest().starts_with("//") => self.skip_line(),
                Some('/') if self.rest().starts_with("/*") => self.skip_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|c| c != '\n') {
            self.next();
        }
    }

    fn skip_comment(&mut self) -> Result<(), String> {
        self.next();
        self.next();
        loop {
            if self.rest().starts_with("*/") {
                self.next();
                self.next();
                return Ok(());
            }
            if self.next().is_none() {
                return self.error("comment not terminated");
            }
        }
    }

    /// Members up to the closing brace, which is consumed, or to the end of the text at depth 0.
    fn items(&mut self, depth: usize) -> Result<Vec<Item>, String> {
        let mut items = Vec::new();
        loop {
            self.skip_blank()?;
            match self.peek() {
                None if depth == 0 => return Ok(items),
                None => return self.error("object expected closing RBRACE got: EOF"),
                Some('}') if depth > 0 => {
                    self.next();
                    return Ok(items);
                }
                Some(_) => items.push(self.item(depth)?),
            }
            self.skip_blank()?;
            if self.peek() == Some(',') {
                self.next();
            }
        }
    }

    fn item(&mut self, depth: usize) -> Result<Item, String> {
        let mut keys = Vec::new();
        loop {
            self.skip_blank()?;
            match self.peek() {
                Some('"') => keys.push(self.text_literal()?),
                Some(c) if c == '_' || c.is_alphabetic() => keys.push(self.word()),
                Some('=') if keys.len() == 1 => {
                    let line = self.line;
                    self.next();
                    self.skip_blank()?;
                    let place = (self.line, self.column);
                    let value = self.value(depth)?;
                    return Ok(Item { keys, value, line, place });
                }
                Some('{') if !keys.is_empty() => {
                    let place = (self.line, self.column);
                    let value = self.value(depth)?;
                    return Ok(Item { keys, value, line: 0, place });
                }
                Some('=') if keys.len() > 1 => return self.error("nested object expected: LBRACE got: ASSIGN"),
                Some('=' | '{') => return self.error("expected: IDENT | STRING"),
                None => return self.error("unexpected end of text: expected ASSIGN or LBRACE"),
                Some(_) => return self.error("illegal char"),
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, String> {
        if depth >= MAX_DEPTH {
            return self.error("nesting is too deep");
        }
        match self.peek() {
            Some('"') => self.text_literal().map(Node::Text),
            Some('<') => self.heredoc().map(Node::Text),
            Some('{') => {
                self.next();
                self.items(depth + 1).map(Node::Object)
            }
            Some('[') => {
                self.next();
                self.list(depth + 1).map(Node::List)
            }
            Some(c) if c == '-' || c.is_ascii_digit() => self.number(),
            Some(c) if c.is_alphabetic() => match self.word().as_str() {
                "true" => Ok(Node::Flag(true)),
                "false" => Ok(Node::Flag(false)),
                _ => self.error("unknown token: IDENT"),
            },
            None => self.error("unexpected end of text: expected a value"),
            Some(_) => self.error("illegal char"),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, String> {
        let mut list = Vec::new();
        loop {
            self.skip_blank()?;
            if self.peek() == Some(']') {
                self.next();
                return Ok(list);
            }
            list.push(self.value(depth)?);
            self.skip_blank()?;
            match self.peek() {
                Some(',') => {
                    self.next();
                }
                Some(']') => {}
                None => return self.error("error parsing list, expected comma or list end, got: EOF"),
                Some(_) => return self.error("error parsing list, expected comma or list end"),
            }
        }
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.peek() {
            if !(c.is_alphanumeric() || c == '_' || c == '-' || c == '.') {
                break;
            }
            word.push(c);
            self.next();
        }
        word
    }

    fn number(&mut self) -> Result<Node, String> {
        let mut text = String::new();
        while let Some(c) = self.peek() {
            if !(c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.')) {
                break;
            }
            text.push(c);
            self.next();
        }
        let number = match text.strip_prefix("0x") {
            Some(digits) => i64::from_str_radix(digits, 16).ok().map(|number| number.to_string()),
            None => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|_| text),
        };
        number.map_or_else(|| self.error("malformed number"), |number| Ok(Node::Number(number)))
    }

    /// A quoted text. Inside `${ … }` quotes do not end it, as in HCL 1.
    fn text_literal(&mut self) -> Result<String, String> {
        self.next();
        let mut text = String::new();
        let mut braces = 0_usize;
        loop {
            let Some(c) = self.next() else { return self.error("literal not terminated") };
            match c {
                '"' if braces == 0 => return Ok(text),
                '\n' if braces == 0 => return self.error("literal not terminated"),
                '\\' if braces == 0 => text.push(self.escape()?),
                '$' if braces == 0 && self.peek() == Some('{') => {
                    self.next();
                    text.push_str("${");
                    braces = 1;
                }
                '{' if braces > 0 => {
                    braces += 1;
                    text.push(c);
                }
                '}' if braces > 0 => {
                    braces -= 1;
                    text.push(c);
                }
                _ => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let digits = match self.next() {
            Some('n') => return Ok('\n'),
            Some('t') => return Ok('\t'),
            Some('r') => return Ok('\r'),
            Some(c @ ('"' | '\\')) => return Ok(c),
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            _ => return self.error("illegal char escape"),
        };
        let mut code = 0_u32;
        for _ in 0..digits {
            let Some(digit) = self.next().and_then(|c| c.to_digit(16)) else {
                return self.error("illegal char in escape");
            };
            code = code << 4 | digit;
        }
        char::from_u32(code).map_or_else(|| self.error("illegal char in escape"), Ok)
    }

    /// `<<WORD` or `<<-WORD`, the lines up to a line that holds only the word.
    fn heredoc(&mut self) -> Result<String, String> {
        if !self.rest().starts_with("<<") {
            return self.error("illegal char");
        }
        self.next();
        self.next();
        let indented = self.peek() == Some('-');
        if indented {
            self.next();
        }
        let word = self.word();
        if word.is_empty() || self.take_line().is_none_or(|rest| !rest.trim().is_empty()) {
            return self.error("heredoc not terminated");
        }
        let mut text = String::new();
        loop {
            let Some(line) = self.take_line() else { return self.error("heredoc not terminated") };
            if line.trim() == word {
                return Ok(text);
            }
            text.push_str(if indented { line.trim_start() } else { &line });
            text.push('\n');
        }
    }

    /// The rest of the line without its end; `None` at the end of the text.
    fn take_line(&mut self) -> Option<String> {
        self.peek()?;
        let mut line = String::new();
        while let Some(c) = self.next() {
            if c == '\n' {
                break;
            }
            line.push(c);
        }
        Some(line.trim_end_matches('\r').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_hcl_1_reads() {
        let items = parse(
            "# one\n// two\n/* three */ path \"a/${b}\" { capabilities=[\"read\",] , n = 0x10 f=true }\npath \"b\" {} name = <<E\nx\nE\n",
        )
        .unwrap();
        assert_eq!(items.len(), 3);
        assert_eq!(items[0].keys, ["path", "a/${b}"]);
        let Node::Object(members) = &items[0].value else { panic!("a block") };
        assert_eq!(members[0].value, Node::List(vec![Node::Text("read".to_owned())]));
        assert_eq!(members[1].value, Node::Number("16".to_owned()));
        assert_eq!(members[2].value, Node::Flag(true));
        assert_eq!(items[2].value, Node::Text("x\n".to_owned()));
    }

    #[test]
    fn refuses_with_the_place() {
        for (text, error) in [
            ("path \"a\" { capabilities=[\"read\"] ", "At 1:34: object expected closing RBRACE got: EOF"),
            ("path 'a' {}", "At 1:6: illegal char"),
            ("path \"a\" = {}", "At 1:10: nested object expected: LBRACE got: ASSIGN"),
            ("path \"a", "At 1:8: literal not terminated"),
            ("{\"a\":", "At 1:5: invalid JSON"),
        ] {
            assert_eq!(parse(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("a = {}{}", "[".repeat(5000), "]".repeat(5000));
        assert!(parse(&deep).unwrap_err().contains("nesting is too deep"));
        let json = format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100));
        assert!(parse(&json).is_err());
    }
}
