//! Values as they are set again.

use super::*;

#[test]
fn a_long_application_name_is_said_as_it_was_first() {
    let spelled =
        |text: &str| text.bytes().map(|byte| if byte.is_ascii() { char::from(byte).into() } else { format!("\\x{byte:02x}") }).collect::<String>();
    let (name, again) = ("日本語 の 名前 'a\\b' 日本語", |value: &str| as_set("Application_Name", value).into_owned());
    assert!(spelled(name).len() > NAME_MAX);
    assert_eq!(again(&spelled(name)), name);
    assert_eq!(as_set("my.param", &spelled(name)), spelled(name).as_str(), "another is not cut");
    assert_eq!(again("\\xe3\\x82\\xbd"), "\\xe3\\x82\\xbd", "a short one neither");
    // What is ASCII, or no text when it is put together, is what the client wrote.
    for value in ["\\x41\\x5c", "\\xe3\\x82", "\\x", "\\xe", "\\xzz", "\\x00"] {
        let long = format!("{value}{}{value}", "x".repeat(NAME_MAX));
        assert_eq!(again(&long), long);
    }
}
