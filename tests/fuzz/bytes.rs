//! Reading messages, written once more from the protocol's description and shared with nothing of pg_dog's: big-endian words, texts that end with a
//! zero byte, and frames.

/// The rest of a body.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn byte(&mut self) -> Option<u8> {
        let byte = *self.0.first()?;
        self.0 = &self.0[1..];
        Some(byte)
    }

    pub fn word(&mut self) -> Option<u32> {
        let word = word(self.0)?;
        self.0 = &self.0[4..];
        Some(word)
    }

    pub fn text(&mut self) -> Option<&'a [u8]> {
        let mut parts = self.0.splitn(2, |byte| *byte == 0);
        let text = parts.next()?;
        self.0 = parts.next()?;
        Some(text)
    }
}

/// The first four bytes as a number.
pub fn word(bytes: &[u8]) -> Option<u32> {
    match bytes {
        [a, b, c, d, ..] => Some(u32::from(*a) << 24 | u32::from(*b) << 16 | u32::from(*c) << 8 | u32::from(*d)),
        _ => None,
    }
}

/// The whole messages at the start of `bytes`, as (type, body), and what is left behind them.
pub fn messages(mut bytes: &[u8]) -> (Vec<(u8, &[u8])>, &[u8]) {
    let mut all = Vec::new();
    while let Some(length) = bytes.get(1..).and_then(word) {
        let end = 1 + length as usize;
        if length < 4 || bytes.len() < end {
            break;
        }
        all.push((bytes[0], &bytes[5..end]));
        bytes = &bytes[end..];
    }
    (all, bytes)
}

/// Fails unless `bytes` are whole messages of these types.
pub fn assert_whole(bytes: &[u8], kinds: &[u8]) {
    let (all, rest) = messages(bytes);
    assert!(rest.is_empty(), "not whole messages: {}", bytes.escape_ascii());
    assert!(all.iter().all(|(kind, _)| kinds.contains(kind)), "messages of other types: {}", bytes.escape_ascii());
}
