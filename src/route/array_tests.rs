//! Arrays as texts and as they are received.

use super::elements;

fn read(bytes: &[u8], binary: bool) -> Option<Vec<Option<Vec<u8>>>> {
    let mut seen = Vec::new();
    let read = elements::<()>(bytes, binary, &mut |element| {
        seen.push(element.map(<[u8]>::to_vec));
        Ok(())
    });
    read.ok().map(|()| seen)
}

fn texts(elements: &[&str]) -> Option<Vec<Option<Vec<u8>>>> {
    Some(elements.iter().map(|element| Some(element.as_bytes().to_vec())).collect())
}

#[test]
fn texts_without_quotes_are_read() {
    assert_eq!(read(b"{1,2,-3}", false), texts(&["1", "2", "-3"]));
    assert_eq!(read(b" { 1 , 2 } ", false), texts(&["1", "2"]));
    assert_eq!(read(b"{}", false), texts(&[]));
    assert_eq!(read(b"{1,NULL}", false), Some(vec![Some(b"1".to_vec()), None]));
    for bad in [&b"1,2"[..], b"{1,2", b"{1,,2}", b"{{1},{2}}", b"{\"a\"}", b"{a\\b}", b"[0:1]={1,2}", b""] {
        assert_eq!(read(bad, false), None, "{}", String::from_utf8_lossy(bad));
    }
}

#[test]
fn what_is_received_is_read_whole_or_not() {
    let mut bytes = Vec::new();
    for number in [1i32, 0, 20, 3, 1] {
        bytes.extend(number.to_be_bytes());
    }
    for value in [Some(7i64), None, Some(-1)] {
        bytes.extend(value.map_or(-1i32, |_| 8).to_be_bytes());
        bytes.extend(value.iter().flat_map(|value| value.to_be_bytes()));
    }
    let expected = vec![Some(7i64.to_be_bytes().to_vec()), None, Some((-1i64).to_be_bytes().to_vec())];
    assert_eq!(read(&bytes, true), Some(expected));
    for end in 0..bytes.len() {
        assert_eq!(read(&bytes[..end], true), None, "{end}");
    }
    bytes.push(0);
    assert_eq!(read(&bytes, true), None);
    assert_eq!(read(&[0; 12], true), Some(Vec::new()), "an empty one has no dimension");
    assert_eq!(read(&2i32.to_be_bytes(), true), None, "two dimensions");
}

#[test]
fn who_is_called_may_stop() {
    assert_eq!(elements(b"{1,2}", false, &mut |_| Err("enough")), Err(Some("enough")));
}
