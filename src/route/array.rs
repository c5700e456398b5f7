//! The elements of a one-dimensional array, as `= ANY($1)` has them. Sources: `array_in` and `array_recv` in src/backend/utils/adt/arrayfuncs.c.
//! What is not plainly one (several dimensions, bounds, quotes in a text) is not read.

/// What is called for an element.
pub type Each<'a, E> = dyn FnMut(Option<&[u8]>) -> Result<(), E> + 'a;

/// Calls `each` for every element, None for NULL. Err(None): this is no array that can be read here; Err(Some): `each` said so.
pub fn elements<E>(bytes: &[u8], binary: bool, each: &mut Each<'_, E>) -> Result<(), Option<E>> {
    if binary { received(bytes, each) } else { written(bytes, each) }
}

fn written<E>(text: &[u8], each: &mut Each<'_, E>) -> Result<(), Option<E>> {
    let inner = text.trim_ascii().strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).ok_or(None)?;
    if inner.iter().any(|byte| matches!(byte, b'{' | b'}' | b'"' | b'\\')) {
        return Err(None);
    }
    if inner.trim_ascii().is_empty() {
        return Ok(());
    }
    for element in inner.split(|byte| *byte == b',') {
        let element = element.trim_ascii();
        if element.is_empty() {
            return Err(None);
        }
        let null = element.eq_ignore_ascii_case(b"null");
        each(Some(element).filter(|_| !null)).map_err(Some)?;
    }
    Ok(())
}

fn received<E>(bytes: &[u8], each: &mut Each<'_, E>) -> Result<(), Option<E>> {
    let number = |at: usize| bytes.get(at..at + 4).map(|part| i32::from_be_bytes([part[0], part[1], part[2], part[3]])).ok_or(None);
    match number(0)? {
        0 => return Ok(()),
        1 => {}
        _ => return Err(None),
    }
    // Dimensions, flags, type of the elements, their count, their lower bound.
    let count = number(12)?;
    let mut at = 20;
    for _ in 0..count {
        let length = number(at)?;
        at += 4;
        if length < 0 {
            each(None).map_err(Some)?;
            continue;
        }
        let end = at + length as usize;
        each(Some(bytes.get(at..end).ok_or(None)?)).map_err(Some)?;
        at = end;
    }
    if at == bytes.len() { Ok(()) } else { Err(None) }
}

#[cfg(test)]
#[path = "array_tests.rs"]
mod tests;
