//! Text of strangers, on its way into HTML.
//!
//! One function for text and attributes alike, so that no place can use the wrong one. What a reader could not see
//! (control characters, characters that reorder or hide others) is shown by a picture or its number.

/// Text as it may stand between tags and inside of quotes. Line breaks become a sign.
pub fn escape(text: &str) -> String {
    escaped(text, |_, out| out.push('\u{240a}'))
}

/// The same for text whose lines stay lines; each break shows its sign first.
pub fn escape_lines(text: &str) -> String {
    escaped(text, |_, out| out.push_str("\u{21b5}\n"))
}

fn escaped(text: &str, line_break: impl Fn(char, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => line_break(c, &mut out),
            '\0'..='\u{1f}' => out.push(picture(0x2400 + u32::from(c))),
            '\u{7f}' => out.push('\u{2421}'),
            _ if is_unseen(c) => out.push_str(&format!("[U+{:04X}]", u32::from(c))),
            _ => out.push(c),
        }
    }
    out
}

fn picture(code: u32) -> char {
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Characters with no shape of their own that control, separate, reorder or tag others.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_text() {
        assert_eq!(escape(r#"<script>alert('a' & "b")</script>"#).matches(['<', '>', '"', '\'']).count(), 0);
        assert_eq!(escape("a&lt;"), "a&amp;lt;");
        assert_eq!(escape("plain, é, 漢"), "plain, é, 漢");
    }

    #[test]
    fn every_control_character_is_made_visible() {
        for c in (0..0x11_0000).filter_map(char::from_u32).filter(|c| c.is_control()) {
            let shown = escape(&c.to_string());
            assert!(!shown.contains(char::is_control) && !shown.trim().is_empty(), "{c:?}");
        }
        assert_eq!(escape("\0\t\n\u{1b}\u{7f}\u{85}"), "␀␉␊␛␡[U+0085]");
        assert_eq!(escape("a\u{202e}b"), "a[U+202E]b");
        assert_eq!(escape_lines("a\nb\r"), "a↵\nb␍");
    }
}
