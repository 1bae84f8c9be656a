//! Tokens of PTX text, each with its line.

use crate::PtxError;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// Opcode, directive, register, label or symbol: everything made of letters, digits and `_ $ % . ::`.
    Word(String),
    /// An integer, its sign apart.
    Int(u64),
    /// `0f` and eight digits: the bits of an f32.
    F32(u32),
    /// `0d` and sixteen digits: the bits of an f64.
    F64(u64),
    Text(String),
    Punct(char),
}

#[derive(Clone, Debug)]
pub(crate) struct Spanned {
    pub token: Token,
    pub line: u32,
}

pub(crate) fn lex(source: &str) -> Result<Vec<Spanned>, PtxError> {
    let mut tokens = Vec::new();
    let bytes = source.as_bytes();
    let (mut at, mut line) = (0, 1u32);
    while at < bytes.len() {
        let c = bytes[at];
        if c == b'\n' {
            line += 1;
            at += 1;
        } else if c.is_ascii_whitespace() {
            at += 1;
        } else if bytes[at..].starts_with(b"//") {
            at += bytes[at..].iter().position(|&b| b == b'\n').unwrap_or(bytes.len() - at);
        } else if bytes[at..].starts_with(b"/*") {
            let end = source[at..].find("*/").ok_or_else(|| PtxError::syntax(line, "comment without an end"))?;
            line += source[at..at + end].matches('\n').count() as u32;
            at += end + 2;
        } else if c == b'"' {
            let end = source[at + 1..].find('"').ok_or_else(|| PtxError::syntax(line, "text without an end"))?;
            tokens.push(Spanned { token: Token::Text(source[at + 1..at + 1 + end].to_string()), line });
            at += end + 2;
        } else if word_byte(bytes, at) {
            let start = at;
            while at < bytes.len() && (word_byte(bytes, at) || double_colon(bytes, at)) {
                at += if double_colon(bytes, at) { 2 } else { 1 };
            }
            tokens.push(Spanned { token: word(&source[start..at], line)?, line });
        } else if b"{}()[],;:+-|!@<>=".contains(&c) {
            tokens.push(Spanned { token: Token::Punct(c as char), line });
            at += 1;
        } else {
            return Err(PtxError::syntax(line, &format!("character {:?}", c as char)));
        }
    }
    Ok(tokens)
}

fn word_byte(bytes: &[u8], at: usize) -> bool {
    let c = bytes[at];
    c.is_ascii_alphanumeric() || b"_$%.".contains(&c)
}

/// The `::` inside a modifier such as `.L1::evict_last`, not the colon of a label.
fn double_colon(bytes: &[u8], at: usize) -> bool {
    bytes[at..].starts_with(b"::")
}

fn word(text: &str, line: u32) -> Result<Token, PtxError> {
    if !text.as_bytes()[0].is_ascii_digit() {
        return Ok(Token::Word(text.to_string()));
    }
    if text.contains('.') {
        // The version's number; as an operand it is refused.
        return Ok(Token::Text(text.to_string()));
    }
    let bad = || PtxError::syntax(line, &format!("number {text}"));
    let lower = text.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0f") {
        return u32::from_str_radix(hex, 16).map(Token::F32).map_err(|_| bad());
    }
    if let Some(hex) = lower.strip_prefix("0d") {
        return u64::from_str_radix(hex, 16).map(Token::F64).map_err(|_| bad());
    }
    let digits = lower.strip_suffix('u').unwrap_or(&lower);
    let value = if let Some(hex) = digits.strip_prefix("0x") {
        u64::from_str_radix(hex, 16)
    } else if let Some(bits) = digits.strip_prefix("0b") {
        u64::from_str_radix(bits, 2)
    } else if digits.len() > 1 && digits.starts_with('0') {
        u64::from_str_radix(digits, 8)
    } else {
        digits.parse()
    };
    value.map(Token::Int).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_numbers_and_lines_are_told_apart() {
        let tokens =
            lex("// head\nld.global.L1::evict_last.f32 %f1, [%rd2+-16]; /* a\nb */ $L_1: mov.b32 %r1, 0f3F800000;")
                .unwrap();
        let words: Vec<_> = tokens.iter().map(|t| (&t.token, t.line)).collect();
        assert_eq!(words[0], (&Token::Word("ld.global.L1::evict_last.f32".into()), 2));
        assert_eq!(words[6], (&Token::Punct('-'), 2));
        assert_eq!(words[7], (&Token::Int(16), 2));
        assert_eq!(words[10], (&Token::Word("$L_1".into()), 3));
        assert_eq!(words[11], (&Token::Punct(':'), 3));
        assert_eq!(words[15], (&Token::F32(0x3f80_0000), 3));
    }

    #[test]
    fn a_foreign_character_is_an_error_with_its_line() {
        let error = lex("mov\n#").unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        assert!(lex("0f3FZ").is_err() && lex("\"open").is_err() && lex("/* open").is_err());
    }
}
