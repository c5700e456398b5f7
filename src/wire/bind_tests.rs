//! Values of Bind messages, whole and broken.

use super::{Value, Values};

fn behind(formats: &[u16], values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut out = (formats.len() as u16).to_be_bytes().to_vec();
    formats.iter().for_each(|format| out.extend(format.to_be_bytes()));
    out.extend((values.len() as u16).to_be_bytes());
    for value in values {
        match value {
            None => out.extend((-1i32).to_be_bytes()),
            Some(bytes) => {
                out.extend((bytes.len() as i32).to_be_bytes());
                out.extend(*bytes);
            }
        }
    }
    out
}

#[test]
fn each_value_is_found_with_its_format() {
    let values: [Option<&[u8]>; 4] = [Some(b"one"), None, Some(b""), Some(&[0, 0, 0, 4])];
    for (formats, binary) in [(&[][..], [false; 4]), (&[1], [true; 4]), (&[0], [false; 4]), (&[0, 1, 0, 1], [false, true, false, true])] {
        let message = [behind(formats, &values), vec![0, 0]].concat();
        let read = Values::read(&message).expect("whole");
        assert_eq!((read.len(), read.is_empty()), (4, false));
        for (index, bytes) in values.iter().enumerate() {
            assert_eq!(read.get(index + 1), Some(Value { binary: binary[index], bytes: *bytes }));
        }
        assert_eq!((read.get(0), read.get(5)), (None, None));
    }
    assert!(Values::read(&behind(&[], &[])).is_some_and(|values| values.is_empty() && values.get(1).is_none()));
}

#[test]
fn texts_beyond_ascii_are_noticed() {
    let is = |formats: &[u16], values: &[Option<&[u8]>]| Values::read(&behind(formats, values)).expect("whole").are_ascii();
    assert!(is(&[], &[Some(b"plain"), None]));
    assert!(!is(&[], &[Some(b"plain"), Some("wörd".as_bytes())]));
    assert!(is(&[1], &[Some(&[0xff; 8])]), "a number in binary format is no text");
}

#[test]
fn what_is_cut_or_makes_no_sense_is_none() {
    let message = behind(&[1, 0], &[Some(b"abc"), Some(b"d")]);
    for end in 0..message.len() {
        assert!(Values::read(&message[..end]).is_none(), "{end}");
    }
    assert!(Values::read(&behind(&[0, 0, 0], &[Some(b"a"), Some(b"b")])).is_none(), "as many formats as values, one or none");
    let mut negative = behind(&[], &[Some(b"abc")]);
    negative[4..8].copy_from_slice(&(-2i32).to_be_bytes());
    assert!(Values::read(&negative).is_none());
}
