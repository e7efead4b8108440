//! Figures as a person reads them.

use crate::report::text;

/// A time with three significant digits, in the unit that fits: `4.21us`, `10.0us`, `1.25ms`.
pub fn time(nanos: f64) -> String {
    significant(nanos, 3)
}

/// A time with so many significant digits; nanoseconds have no parts.
pub(super) fn significant(nanos: f64, digits: usize) -> String {
    let units = [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9)];
    for (at, (unit, scale)) in units.into_iter().enumerate() {
        let value = nanos / scale;
        let whole = if value < 1.0 { 1 } else { value.log10() as usize + 1 };
        let places = if at == 0 { 0 } else { digits.saturating_sub(whole) };
        let shown = format!("{value:.places$}");
        // What rounding takes to a thousand is one of the next unit.
        if shown.split('.').next().is_some_and(|whole| whole.len() <= 3) || at + 1 == units.len() {
            return match shown.find('.') {
                // Rounding to ten or to a hundred has made a digit too many.
                Some(point) if point > whole && places > 0 => format!("{:.*}{unit}", places - 1, value),
                _ => shown + unit,
            };
        }
    }
    unreachable!("the last unit takes everything")
}

/// A percentile, or `n/a` with too few samples for it.
pub fn time_or_none(nanos: Option<u64>) -> String {
    nanos.map_or_else(|| "n/a".to_owned(), |nanos| time(nanos as f64))
}

/// A rate: `98,765`, and below a hundred `12.5`.
pub fn rate(per_s: f64) -> String {
    match per_s {
        ..100.0 => {
            let shown = format!("{per_s:.2}");
            let shown = shown.trim_end_matches('0').trim_end_matches('.');
            shown.to_owned()
        }
        _ => text::number(per_s.round() as u64),
    }
}

/// Bytes a second, with three significant digits: `6.32 MB/s`.
pub fn bytes_rate(per_s: f64) -> String {
    let units = [("GB/s", 1e9), ("MB/s", 1e6), ("kB/s", 1e3)];
    let Some((unit, scale)) = units.into_iter().find(|(_, scale)| per_s >= *scale) else {
        return format!("{per_s:.0} B/s");
    };
    let value = per_s / scale;
    let places = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.places$} {unit}")
}

/// A share of 0 to 1 as a percentage, with digits enough to tell it from nothing: `0.013 %`.
pub fn share(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        0.0 => "0 %".into(),
        ..0.001 => "under 0.001 %".into(),
        ..0.1 => format!("{percent:.3} %"),
        _ => format!("{percent:.1} %"),
    }
}

/// Seconds: `10 s`, `0.5 s`, `1.25 s`.
pub fn seconds(seconds: f64) -> String {
    let shown = format!("{seconds:.2}");
    format!("{} s", shown.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_three_digits_in_its_unit() {
        for (nanos, shown) in [
            (0.0, "0ns"),
            (7.0, "7ns"),
            (999.0, "999ns"),
            (999.6, "1.00us"),
            (4_213.0, "4.21us"),
            (9_999.0, "10.0us"),
            (42_150.0, "42.1us"),
            (99_990.0, "100us"),
            (421_400.0, "421us"),
            (999_900.0, "1.00ms"),
            (60_000_000_000.0, "60.0s"),
            (3_600_000_000_000.0, "3600s"),
        ] {
            assert_eq!(time(nanos), shown, "{nanos}");
        }
        assert_eq!(significant(950_271.0, 4), "950.3us");
        assert_eq!(time_or_none(None), "n/a");
    }

    #[test]
    fn rates_and_shares_keep_what_means_something() {
        assert_eq!([rate(98_765.4), rate(99.5), rate(12.5), rate(0.0)], ["98,765", "99.5", "12.5", "0"]);
        assert_eq!([bytes_rate(6_321_000.0), bytes_rate(99.0), bytes_rate(2e9)], ["6.32 MB/s", "99 B/s", "2.00 GB/s"]);
        assert_eq!(
            [share(0.0), share(0.000_001), share(0.000_13), share(0.5)],
            ["0 %", "under 0.001 %", "0.013 %", "50.0 %"]
        );
        assert_eq!([seconds(10.0), seconds(0.5), seconds(1.254)], ["10 s", "0.5 s", "1.25 s"]);
    }
}
