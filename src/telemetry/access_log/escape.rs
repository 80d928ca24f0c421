//! How does text that a client chose get into a line without becoming more than text?
//!
//! A line's format decides which characters mean something there. Whatever the format, a control
//! character never gets through: a line break would be a second line, an escape sequence would
//! speak to the terminal of whoever reads the log.
//!
//! RFC 8259 section 7 (JSON strings); W3C "Extensible Markup Language (XML) 1.0", section 2.4
//! (characters that must be escaped).

/// What a line is made of, read off its first character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escaping {
    /// Common log format, CSV and anything else: `\"`, `\\` and `\xHH`, as web servers write it.
    Plain,
    /// The line is a JSON text; values stand inside its strings.
    Json,
    /// The line is an XML element.
    Xml,
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl Escaping {
    /// The kind of line that `format` describes.
    pub fn of(format: &str) -> Self {
        match format.trim_start().as_bytes().first() {
            Some(b'{' | b'[') => Escaping::Json,
            Some(b'<') => Escaping::Xml,
            _ => Escaping::Plain,
        }
    }

    /// Appends `text` so that it stays one value of the line. Bytes that are not UTF-8 come out as
    /// their numbers.
    pub fn push(self, text: &[u8], line: &mut Vec<u8>) {
        if is_harmless_text(text) {
            line.extend_from_slice(text);
            return;
        }
        for chunk in text.utf8_chunks() {
            for character in chunk.valid().chars() {
                self.push_character(character, line);
            }
            for byte in chunk.invalid() {
                self.push_number(*byte, line);
            }
        }
    }

    fn push_character(self, character: char, line: &mut Vec<u8>) {
        match (self, character) {
            (Escaping::Plain | Escaping::Json, '"') => line.extend_from_slice(b"\\\""),
            (Escaping::Plain | Escaping::Json, '\\') => line.extend_from_slice(b"\\\\"),
            (Escaping::Xml, '"') => line.extend_from_slice(b"&quot;"),
            (Escaping::Xml, '\'') => line.extend_from_slice(b"&apos;"),
            (Escaping::Xml, '<') => line.extend_from_slice(b"&lt;"),
            (Escaping::Xml, '>') => line.extend_from_slice(b"&gt;"),
            (Escaping::Xml, '&') => line.extend_from_slice(b"&amp;"),
            // Some readers of lines break them at these two as well.
            (_, '\u{2028}' | '\u{2029}') => line.push(b'?'),
            (_, control) if control.is_control() => {
                // Control characters end at U+009F.
                self.push_number(u8::try_from(u32::from(control)).unwrap_or(b'?'), line);
            }
            (_, plain) => {
                line.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }

    fn push_number(self, byte: u8, line: &mut Vec<u8>) {
        line.extend_from_slice(match self {
            Escaping::Json => b"\\u00".as_slice(),
            // XML 1.0 has no way to name a control character, so the plain form has to do.
            Escaping::Plain | Escaping::Xml => b"\\x".as_slice(),
        });
        line.push(HEX[usize::from(byte >> 4)]);
        line.push(HEX[usize::from(byte & 15)]);
    }
}

/// Long text is checked many bytes at once: without an early exit, the compiler makes a few wide
/// comparisons of each chunk. Short text, the usual, and the rest of long text go by a table.
fn is_harmless_text(text: &[u8]) -> bool {
    let (chunks, rest) = text.as_chunks::<16>();
    chunks.iter().all(|chunk| chunk.iter().fold(true, |all, byte| all & is_harmless(*byte)))
        && rest.iter().all(|byte| HARMLESS[usize::from(*byte)])
}

static HARMLESS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < u8::MAX {
        table[byte as usize] = is_harmless(byte);
        byte += 1;
    }
    table
};

/// Bytes that every kind of line takes as they are; anything else is looked at closely.
const fn is_harmless(byte: u8) -> bool {
    (byte >= b' ')
        & (byte <= b'~')
        & (byte != b'"')
        & (byte != b'\\')
        & (byte != b'<')
        & (byte != b'>')
        & (byte != b'&')
        & (byte != b'\'')
}
