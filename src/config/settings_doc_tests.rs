//! Tests of the Markdown page.

use super::*;

#[test]
fn every_row_is_on_the_page_and_every_table_is_whole() {
    let page = markdown();
    for section in SECTIONS {
        assert!(page.contains(&format!("## `{}`", section.heading())), "{}", section.name);
        for row in section.keys() {
            assert!(page.contains(&format!("`{}`", row.name)), "{}", row.name);
        }
    }
    let columns = |line: &str| line.matches('|').count();
    assert!(page.lines().filter(|line| line.starts_with('|')).all(|line| columns(line) == 8));
}

#[test]
fn a_row_says_what_it_takes() {
    let page = markdown();
    for line in [
        "| `port` | integer 0 to 65535 | 6432 | `PGDOG_PORT` | restart | works | Port that clients connect to. |",
        "| `default_pool_size` or `max_pool_size` | integer from 1, connections | 10 | `PGDOG_DEFAULT_POOL_SIZE` | yes | works |",
        "| `pooler_mode` | transaction, session, statement | `\"transaction\"` | `PGDOG_POOLER_MODE` | yes | works |",
        "| `query_timeout` | integer, ms | unlimited | `PGDOG_QUERY_TIMEOUT` | yes | works |",
        "| `name` | string | required |  | yes | works | Name that clients ask for. |",
    ] {
        assert!(page.contains(line), "{line}");
    }
}
