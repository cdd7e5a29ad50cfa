//! What holds for every row.

use std::collections::HashSet;

use super::*;

#[test]
fn identifiers_are_unique() {
    let ids: HashSet<_> = all().iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), all().len());
    let points: Vec<_> =
        all().iter().filter_map(|row| row.code_point.map(|point| (row.kind, point))).collect();
    assert_eq!(points.iter().collect::<HashSet<_>>().len(), points.len());
    let oids: Vec<_> = all().iter().filter_map(|row| row.oid).collect();
    assert_eq!(oids.iter().collect::<HashSet<_>>().len(), oids.len());
    let jose: Vec<_> = all().iter().flat_map(|row| row.jose).collect();
    assert_eq!(jose.iter().collect::<HashSet<_>>().len(), jose.len());
}

/// What has a name in tokens is a signature with code, and none of the names that mean "unsigned" or "shared secret".
#[test]
fn names_in_tokens_stand_for_signatures_that_run() {
    for row in all().iter().filter(|row| !row.jose.is_empty()) {
        assert!(row.kind == Kind::Signature && row.is_usable() && row.components.is_empty(), "{}", row.id);
        for name in row.jose {
            assert_eq!(by_jose_name(name), Some(row));
        }
    }
    for name in ["none", "None", "NONE", "", "HS256", "HS384", "HS512", "es256", "ES256K", "RS1"] {
        assert_eq!(by_jose_name(name), None, "{name}");
    }
}

#[test]
fn lookups_agree_with_the_rows() {
    for row in all() {
        assert_eq!(find(row.id), Some(row));
        if let Some(point) = row.code_point {
            assert_eq!(by_code_point(row.kind, point), Some(row));
        }
        if let Some(oid) = row.oid {
            assert_eq!(by_oid(oid), Some(row));
        }
    }
    assert_eq!(find("ROT13"), None);
    assert_eq!(by_oid("1.2.3"), None);
    assert_eq!(name(Kind::Group, 0x11ed), "SecP384r1MLKEM1024");
    assert_eq!(name(Kind::Group, 0x0a1b), "0x0a1b");
}

#[test]
fn hybrids_name_one_traditional_and_one_post_quantum_component() {
    for row in all() {
        assert_eq!(row.nature == Nature::Hybrid, !row.components.is_empty());
        let mut natures: Vec<_> = row
            .components
            .iter()
            .map(|id| {
                let part = find(id).unwrap_or_else(|| panic!("{}: no row {id}", row.id));
                assert_eq!(part.kind, row.kind, "{}", row.id);
                part.nature
            })
            .collect();
        natures.sort();
        assert!(natures.is_empty() || natures == [Nature::Traditional, Nature::PostQuantum], "{}", row.id);
    }
}

#[test]
fn levels_and_dates_make_sense() {
    for row in all() {
        assert!(row.nist_level <= 5, "{}", row.id);
        assert_eq!(row.nist_level == 0, row.nature == Nature::Traditional, "{}", row.id);
        let dates: Vec<Date> = [row.not_before, row.warn_after, row.not_after]
            .into_iter()
            .flatten()
            .map(|date| date.parse().unwrap())
            .collect();
        assert!(dates.is_sorted(), "{}", row.id);
    }
    assert!(Nature::Traditional < Nature::PostQuantum);
    assert!(Nature::PostQuantum < Nature::Hybrid);
}

#[test]
fn phases_follow_the_dates_day_by_day() {
    let row = Algorithm {
        not_before: Some("2027-01-01"),
        warn_after: Some("2030-12-31"),
        not_after: Some("2035-12-31"),
        ..ROW
    };
    let table = [
        ("2026-12-31", Phase::Early),
        ("2027-01-01", Phase::Current),
        ("2030-12-31", Phase::Current),
        ("2031-01-01", Phase::Warned),
        ("2035-12-31", Phase::Warned),
        ("2036-01-01", Phase::Ended),
    ];
    for (date, phase) in table {
        assert_eq!(row.phase_on(parse_date(date)), phase, "{date}");
    }
    assert_eq!(ROW.phase_on(parse_date("9999-12-31")), Phase::Current);
}

#[test]
fn composites_use_private_code_points_that_rustls_lets_through() {
    for row in all().iter().filter(|row| row.providers == COMPOSED) {
        if row.kind == Kind::Signature {
            let [high, low] = row.code_point.unwrap().to_be_bytes();
            assert_eq!(high, 0xfe, "{}", row.id);
            assert!(low > 2, "{}", row.id);
        }
    }
}
