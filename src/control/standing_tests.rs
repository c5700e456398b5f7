//! The last word counts, about a part as about the whole.

use super::*;

fn scope(user: &str, database: &str) -> Scope {
    let name = |name: &str| (!name.is_empty()).then(|| name.to_string());
    Scope { user: name(user), database: name(database) }
}

#[test]
fn the_last_word_counts() {
    let mut words = Words::default();
    assert!(!words.says("u", "d") && !words.any() && !words.all());
    words.say(&scope("", "d"), true);
    assert!(words.says("u", "d") && !words.says("u", "e") && words.any() && !words.all());
    words.say(&scope("u", "d"), false);
    assert!(!words.says("u", "d") && words.says("v", "d"));
    words.say(&scope("", ""), true);
    assert!(words.says("u", "d") && words.says("x", "y") && words.all());
    words.say(&scope("", "e"), false);
    assert!(words.says("u", "d") && !words.says("u", "e") && !words.all() && words.any());
    words.say(&scope("u", "e"), true);
    assert!(words.says("u", "e") && !words.says("v", "e"));
    words.say(&scope("", ""), false);
    assert!(!words.any() && !words.says("u", "e") && words.0.is_empty());
}

#[test]
fn words_do_not_pile_up() {
    let mut words = Words::default();
    for round in 0..1000 {
        assert!(words.say(&scope("", "d"), round % 2 == 0));
        assert!(words.say(&scope("u", "d"), round % 3 == 0));
        assert!(words.0.len() <= 2, "{words:?}");
    }
    assert!((0..WORDS_MAX).all(|number| words.say(&scope("", &format!("db{number}")), true)) || words.0.len() > WORDS_MAX);
    assert!(!words.say(&scope("", "one more"), true));
}
