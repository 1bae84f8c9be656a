//! The byte-level alphabet: every byte has one printable character (GPT-2's table).

/// The character of each byte.
pub(crate) fn byte_chars() -> [char; 256] {
    let mut chars = ['\0'; 256];
    let mut moved = 0;
    for (byte, c) in (0u8..=255).zip(chars.iter_mut()) {
        *c = match byte {
            b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
            _ => {
                moved += 1;
                // 68 bytes are moved to 256 and up; the range holds no surrogates.
                char::from_u32(255 + moved).unwrap_or('\0')
            }
        };
    }
    chars
}
