//! Tests that passwords cannot be printed by accident.

use super::*;

fn spec() -> PoolSpec {
    PoolSpec {
        database: "d".to_owned(),
        user: "u".to_owned(),
        host: "h".to_owned(),
        port: 5432,
        server_database: "d".to_owned(),
        server_user: "u".to_owned(),
        server_passwords: ["sesame".to_owned()].into(),
        client: Arc::new(ClientSecrets { passwords: vec!["sesame".to_owned()], hash: Some(Hash::Md5("sesame".to_owned())) }),
        pool_size: 1,
        min_pool_size: 0,
        mode: PoolerMode::Transaction,
        idle_timeout: NEVER,
        server_lifetime: NEVER,
        server_lifetime_jitter: std::time::Duration::ZERO,
        ..PoolSpec::default()
    }
}

#[test]
fn debug_shows_no_password() {
    let admin = Admin { database: "admin".to_owned(), user: "boss".to_owned(), password: "sesame".to_owned(), is_set: true };
    for text in [format!("{:?} {:#?}", spec(), spec()), format!("{admin:?} {admin:#?}")] {
        assert!(!text.contains("sesame"), "{text}");
    }
    assert!(format!("{:?}", spec()).contains("server_passwords: 1, client: ClientSecrets { passwords: 1, hash: true }"));
    assert!(format!("{admin:?}").contains("boss"));
}
