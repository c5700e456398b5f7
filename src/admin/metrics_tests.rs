//! Tests of the page: whole lines where the format matters, and a reader of both formats for the rest.

use super::super::histogram::Histogram;
use super::*;

fn page(scrape: &Scrape, form: Form) -> String {
    let mut out = String::new();
    (0..PARTS).for_each(|part| write(scrape, form, part, &mut out));
    out
}

fn scrape() -> Scrape {
    let histogram = Histogram::default();
    [10_000, 20_000, 3_000_000_000].into_iter().for_each(|ns| histogram.record(ns));
    let mut durations = Durations::default();
    histogram.read(&mut durations);
    let counts = Counts { xact_count: 30, query_count: 60, query_time: 123_456, errors: 7, ..Counts::default() };
    let period = Period { from: Counts::default(), to: counts, length_us: 10_000_000 };
    let pool = PoolFigures {
        labels: pool_labels("u\"ser\\", "data\nbase", "::1", 5432, 0),
        maxwait_us: 1_234_567,
        sv_idle: 4,
        counts,
        period,
        times: Some([(); TIMED.len()].map(|()| Bars::from(&durations))),
        ..PoolFigures::default()
    };
    let idle = PoolFigures { labels: pool_labels("other", "b", "h", 1, 0), ..PoolFigures::default() };
    let core = CoreFigures { refused: [1, 2, 0, 0, 0, 0], turns: Bars::from(&durations), ..CoreFigures::default() };
    Scrape {
        namespace: "ns_".into(),
        pools: vec![pool, idle],
        cores: vec![core.clone(), core],
        lately: [Some([5; 5]), None, None, None],
        listeners: vec![
            ListenerRow { database: "d".into(), user: "u".into(), channel: "new \"s\"".into(), listeners: 2, received: 30, dropped: 4 },
            ListenerRow { database: "d".into(), user: "u".into(), channel: "old".into(), ..ListenerRow::default() },
        ],
        prepared: [3, 456, 10_000],
        ..Scrape::default()
    }
}

/// Name, labels, value.
type Sample = (String, String, f64);

/// Every sample: name, labels, value; and the families with their types, in order.
fn samples(page: &str) -> (Vec<Sample>, Vec<(String, String)>) {
    let (mut samples, mut families) = (Vec::new(), Vec::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            families.push((name.to_string(), kind.to_string()));
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').map_or((series, ""), |(name, rest)| (name, rest.strip_suffix('}').expect("a brace")));
            samples.push((name.to_string(), labels.to_string(), value.parse().unwrap_or_else(|_| panic!("{line}"))));
        }
    }
    (samples, families)
}

#[test]
fn pgdogs_metrics_are_as_pgdog_has_them() {
    let page = page(&scrape(), Form::Text);
    let labels = "user=\"u\\\"ser\\\\\",database=\"data\\nbase\",host=\"::1\",port=\"5432\",shard=\"0\",role=\"primary\"";
    for line in [
        "# TYPE ns_total_query_time counter\n# HELP ns_total_query_time query_time since the start, ms.\n",
        &format!("\nns_total_query_time{{{labels}}} 123.456\n"),
        "# TYPE ns_maxwait gauge\n# UNIT ns_maxwait seconds\n# HELP ns_maxwait How long the first client in the queue has waited.\n",
        &format!("\nns_maxwait{{{labels}}} 1.234\n"),
        &format!("\nns_avg_xact_count{{{labels}}} 3\n"),
        &format!("\nns_avg_query_time{{{labels}}} 2.057\n"),
        &format!("\nns_total_server_errors{{{labels}}} 7\n"),
        &format!("\nns_sv_idle{{{labels}}} 4\n"),
        "# TYPE ns_avg_received counter\n",
        "# TYPE ns_two_pc_recovered_total counter\n",
        "\nns_clients_locked 0\n",
        "\nns_prepared_statements 3\n",
        "\nns_prepared_statements_memory_used 456\n",
        "\nns_prepared_statements_limit 10000\n",
        "\nns_query_cache_parse_time 0.000\n",
    ] {
        assert!(page.contains(line), "{line}\nis not in\n{page}");
    }
    assert!(!page.contains("# EOF"));
}

/// All of PgDog's names, with their labels.
#[test]
fn every_name_of_pgdog_is_there() {
    let (samples, families) = samples(&page(&scrape(), Form::Text));
    let type_of = |name: &str| families.iter().find(|family| family.0 == format!("ns_{name}")).map(|family| family.1.as_str());
    let of = |name: &str| samples.iter().filter(|sample| sample.0 == format!("ns_{name}")).count();
    let words = |text: &'static str| text.split_whitespace();
    for name in words("max_connections cl_waiting sv_active sv_idle sv_idle_xact sv_locked maxwait") {
        assert_eq!((type_of(name), of(name)), (Some("gauge"), 2), "{name}");
    }
    for name in words("errors out_of_sync") {
        assert_eq!((type_of(name), of(name)), (Some("counter"), 2), "{name}");
    }
    let counted = "xact_count xact_2pc_count query_count received sent xact_time idle_xact_time query_time prepared_evictions server_errors cleaned \
        rollbacks connect_time connect_count reads writes auth_attempts rows_inserted rows_updated rows_deleted";
    for name in words(counted) {
        let (total, avg) = (format!("total_{name}"), format!("avg_{name}"));
        let kind = if name == "received" { "counter" } else { "gauge" };
        assert_eq!((type_of(&total), of(&total), type_of(&avg), of(&avg)), (Some("counter"), 2, Some(kind), 2), "{name}");
    }
    let gauges = "clients clients_locked prepared_statements_limit query_cache_limit prepared_statements prepared_statements_memory_used \
        query_cache_size mirror_queue_length sharding_lookup_cache_bytes sharding_lookup_cache_entries";
    let counters = "query_cache_hits query_cache_misses query_cache_direct query_cache_cross query_cache_parse_time query_cache_fingerprints \
        mirror_total_count mirror_mirrored_count mirror_dropped_count mirror_error_count sharding_lookup_cache_hits sharding_lookup_cache_misses \
        sharding_lookup_cache_evictions sharding_lookup_queries sharding_lookup_query_time two_pc_recovered_total";
    words(gauges).for_each(|name| assert_eq!((type_of(name), of(name)), (Some("gauge"), 1), "{name}"));
    words(counters).for_each(|name| assert_eq!((type_of(name), of(name)), (Some("counter"), 1), "{name}"));
    for (name, kind, value) in
        [("pub_sub_listeners", "gauge", 2), ("pub_sub_listener_received", "counter", 30), ("pub_sub_listener_dropped", "counter", 4)]
    {
        assert_eq!((type_of(name), of(name)), (Some(kind), 2), "{name}");
        let line = format!("ns_{name}{{database=\"d\",user=\"u\",shard=\"0\",channel=\"new \\\"s\\\"\"}} {value}\n");
        assert!(page(&scrape(), Form::Text).contains(&line), "{line}");
    }
}

#[test]
fn no_family_and_no_series_comes_twice() {
    for form in [Form::Text, Form::Open] {
        let (samples, families) = samples(&page(&scrape(), form));
        let mut names: Vec<_> = families.iter().map(|family| &family.0).collect();
        let mut series: Vec<_> = samples.iter().map(|sample| (&sample.0, &sample.1)).collect();
        let (all_names, all_series) = (names.len(), series.len());
        names.sort();
        names.dedup();
        series.sort();
        series.dedup();
        assert_eq!((names.len(), series.len()), (all_names, all_series), "{form:?}");
    }
}

#[test]
fn openmetrics_counters_end_in_total_and_pgdogs_names_stay() {
    let page = page(&scrape(), Form::Open);
    assert!(page.ends_with("# EOF\n") && page.matches("# EOF").count() == 1);
    let (samples, families) = samples(&page);
    for (family, kind) in &families {
        let name = if kind == "counter" { format!("{family}_total") } else { family.clone() };
        assert!(kind != "counter" || !family.ends_with("_total"), "{family}");
        let found = samples.iter().any(|sample| sample.0 == name || kind == "histogram" && sample.0 == format!("{name}_bucket"));
        assert!(found || family.contains("recent_"), "{family} {kind} has no sample {name}");
    }
    for (name, kind) in
        [("total_xact_count", "unknown"), ("errors", "unknown"), ("two_pc_recovered", "counter"), ("waits", "counter"), ("sv_idle", "gauge")]
    {
        assert!(families.contains(&(format!("ns_{name}"), kind.into())), "{name}");
    }
    assert!(page.contains("\nns_total_xact_count{") && !page.contains("# UNIT"));
}

#[test]
fn histograms_add_up() {
    let (samples, _) = samples(&page(&scrape(), Form::Text));
    let of = |name: &str, labels: &str| samples.iter().filter(|sample| sample.0 == name && sample.1.contains(labels)).collect::<Vec<_>>();
    for name in TIMED.map(|(name, _)| format!("ns_{name}")) {
        let buckets = of(&format!("{name}_bucket"), "");
        assert_eq!(buckets.len(), BARS + 1, "only the pool where anything was timed has them");
        assert!(buckets.windows(2).all(|two| two[0].2 <= two[1].2), "they are cumulative");
        let at = |bound: &str| buckets.iter().find(|bucket| bucket.1.ends_with(&format!("le=\"{bound}\""))).map(|bucket| bucket.2);
        assert_eq!([at("0.000016384"), at("0.000032768"), at("2.147483648"), at("4.294967296"), at("+Inf")], [1.0, 2.0, 2.0, 3.0, 3.0].map(Some));
        assert_eq!((of(&format!("{name}_count"), "")[0].2, of(&format!("{name}_sum"), "")[0].2), (3.0, 3.00003));
    }
    assert_eq!(of("ns_core_turn_seconds_count", "core=\"1\"")[0].2, 3.0);
    assert_eq!(of("ns_login_failures_total", "no_room")[0].2, 4.0);
    assert_eq!(of("ns_recent_wait_seconds", "quantile=\"0.999\"")[0].2, 5e-9);
}

#[test]
fn who_asks_for_openmetrics_gets_it() {
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1";
    for (accept, form) in [("", Form::Text), ("*/*", Form::Text), ("text/plain", Form::Text), (prometheus, Form::Open)] {
        assert_eq!(Form::accepted(accept), form, "{accept}");
    }
}
