//! Numbers for people. What cannot be shown is `-`, never `NaN`.

/// Stands for a number that is not there.
pub const ABSENT: &str = "-";

/// Beyond this nothing is plotted: sums and squares of it must stay finite.
const LARGEST: f64 = 1e100;

/// A quotient; none where it is no number, as for a time of zero.
pub fn ratio(of: f64, by: f64) -> Option<f64> {
    Some(of / by).filter(|q| by > 0.0 && q.is_finite())
}

/// A value that can be placed on an axis.
pub fn plottable(x: f64) -> Option<f64> {
    Some(x).filter(|x| x.is_finite() && x.abs() <= LARGEST)
}

/// The mean of what can be placed on an axis.
pub fn mean(values: &[f64]) -> Option<f64> {
    let usable: Vec<f64> = values.iter().copied().filter_map(plottable).collect();
    ratio(usable.iter().sum(), usable.len() as f64)
}

/// A number with at most three or four figures that matter, thousands apart: `0.123`, `12.3`, `1 234`.
pub fn number(x: f64) -> String {
    if !x.is_finite() {
        return ABSENT.to_owned();
    }
    let digits = match x.abs() {
        0.0 => return "0".to_owned(),
        a if !(1e-3..999_999_999.5).contains(&a) => return format!("{x:.2e}"),
        a if a < 9.9995 => 3,
        a if a < 99.995 => 1,
        _ => 0,
    };
    let text = format!("{x:.digits$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(w, f)| (w, Some(f)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |w| ("-", w));
    let fraction = fraction.map(|f| f.trim_end_matches('0')).filter(|f| !f.is_empty());
    format!("{sign}{}{}", grouped(whole), fraction.map(|f| format!(".{f}")).unwrap_or_default())
}

/// A count: whole, thousands apart; short where it is beyond all measure.
pub fn whole(n: u64) -> String {
    if n < 1_000_000_000 { grouped(&n.to_string()) } else { format!("{:.2e}", n as f64) }
}

/// [`number`] of what may be absent.
pub fn number_or_absent(x: Option<f64>) -> String {
    x.map_or_else(|| ABSENT.to_owned(), number)
}

/// A speed or a size: one digit after the point below a hundred, none above.
pub fn speed(x: Option<f64>) -> String {
    match x {
        Some(x) if x.is_finite() && x.abs() < 99.95 => format!("{x:.1}"),
        other => number_or_absent(other),
    }
}

/// A part of one as percent, without the sign: `61.5`.
pub fn percent(x: Option<f64>) -> String {
    match x.map(|x| x * 100.0) {
        Some(x) if x.is_finite() && x.abs() < 1e6 => format!("{x:.1}"),
        _ => ABSENT.to_owned(),
    }
}

/// `1 window`, `2 windows`.
pub fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// A length of a drawing, two digits after the point at most.
pub fn length(x: f64) -> String {
    let text = format!("{x:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn grouped(digits: &str) -> String {
    // Years and blocks read better whole.
    if digits.len() <= 4 {
        return digits.to_owned();
    }
    let mut out = String::with_capacity(digits.len() * 2);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_the_figures_that_matter() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (0.5, "0.5"),
            (0.123_456, "0.123"),
            (-1.5, "-1.5"),
            (12.34, "12.3"),
            (1234.4, "1234"),
            (1_234_567.0, "1 234 567"),
            (1e12, "1.00e12"),
            (1e-7, "1.00e-7"),
            (f64::NAN, "-"),
            (f64::INFINITY, "-"),
        ];
        for (x, text) in cases {
            assert_eq!(number(x), text, "{x}");
        }
        assert_eq!((whole(0), whole(65_535)), ("0".into(), "65 535".into()));
        assert_eq!((speed(Some(7.96)), speed(Some(812.4)), speed(None)), ("8.0".into(), "812".into(), "-".into()));
        assert_eq!((percent(Some(0.615)), percent(Some(f64::NAN))), ("61.5".into(), "-".into()));
        assert_eq!((length(1.0), length(-0.001), length(12.345)), ("1".into(), "0".into(), "12.35".into()));
    }

    #[test]
    fn a_quotient_is_finite_or_absent() {
        for of in [0.0, 1.0, f64::MAX, f64::NAN] {
            for by in [0.0, -1.0, 1.0, f64::MIN_POSITIVE, f64::INFINITY, f64::NAN] {
                assert!(ratio(of, by).is_none_or(f64::is_finite), "{of} / {by}");
            }
        }
        assert_eq!((ratio(6.0, 3.0), ratio(6.0, 0.0)), (Some(2.0), None));
        assert_eq!((mean(&[1.0, f64::NAN, 3.0]), mean(&[])), (Some(2.0), None));
    }
}
