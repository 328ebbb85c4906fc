//! Figures as Markdown, and as comma-separated values.

use std::fmt::Write;

use crate::figure::{Budget, Figure, Measure, Spread, Unit};

/// One table for each suite, ready to be pasted into a document.
pub fn markdown(figures: &[Figure]) -> String {
    let mut text = String::new();
    for suite in suites(figures) {
        let of_suite: Vec<&Figure> = figures.iter().filter(|it| it.suite == suite).collect();
        let has_nft = of_suite.iter().any(|it| it.nft.is_some());
        let has_floor = of_suite.iter().any(|it| it.floor.is_some());
        writeln!(text, "### {suite}\n").ok();
        let mut head = vec!["what", "pods / policies / local", "median", "p99", "lowest to highest"];
        head.extend(has_floor.then_some(["floor", "against it"]).into_iter().flatten());
        head.extend(has_nft.then_some("`nft -f`"));
        head.push("budget");
        writeln!(text, "| {} |\n|{}", head.join(" | "), "---|".repeat(head.len())).ok();
        for figure in of_suite {
            writeln!(text, "| {} |", cells(figure, has_floor, has_nft).join(" | ")).ok();
        }
        text.push('\n');
    }
    text
}

fn cells(figure: &Figure, has_floor: bool, has_nft: bool) -> Vec<String> {
    let Spread { low, median, p99, high, count } = figure.spread;
    let unit = figure.unit;
    let name = match &*figure.condition {
        "" => figure.name.clone(),
        condition => format!("{}, {condition}", figure.name),
    };
    let size = figure.size;
    let mut cells = vec![
        name,
        format!("{} / {} / {}", grouped(size.pods), grouped(size.policies), size.local_pods),
        spelt(median, unit),
        if count > 1 { spelt(p99, unit) } else { String::new() },
        if count > 1 { format!("{} to {}", spelt(low, unit), spelt(high, unit)) } else { String::new() },
    ];
    if has_floor {
        cells.push(figure.floor.map(|floor| spelt(floor.median, unit)).unwrap_or_default());
        cells.push(match (figure.over_floor, figure.times_floor()) {
            (Some(over), Some(_)) => format!(
                "{:+.0} ns ({:+.0} %)",
                over.median,
                figure.measured(Measure::PercentOverFloor).unwrap_or_default()
            ),
            (None, Some(times)) => format!("{times:.2} times"),
            _ => String::new(),
        });
    }
    if has_nft {
        cells.push(figure.nft.map(|nft| spelt(nft, unit)).unwrap_or_default());
    }
    let budgets = figure.budgets.iter().map(|budget| judged(figure, *budget));
    cells.push(budgets.collect::<Vec<_>>().join(", "));
    cells
}

/// A budget, and whether it is met.
fn judged(figure: &Figure, budget: Budget) -> String {
    let limit = match budget.measure {
        Measure::Median => format!("p50 {}", spelt(budget.limit, figure.unit)),
        Measure::P99 => format!("p99 {}", spelt(budget.limit, figure.unit)),
        Measure::TimesFloor => format!("{} times the floor", budget.limit),
        Measure::OverFloor => format!("+{}", spelt(budget.limit, figure.unit)),
        Measure::PercentOverFloor => format!("+{} %", budget.limit),
    };
    match (figure.meets(budget), figure.measured(budget.measure)) {
        (true, _) => format!("{limit}: met"),
        (false, Some(_)) => format!("{limit}: **missed**"),
        (false, None) => format!("{limit}: **not measured**"),
    }
}

/// All figures as comma-separated values, in nanoseconds, bytes or counts.
pub fn csv(figures: &[Figure]) -> String {
    let mut text = "suite,name,condition,pods,policies,local_pods,unit,samples,low,median,p99,high,\
                    floor_median,floor_p99,over_floor_median,nft_median\n"
        .to_owned();
    for figure in figures {
        let size = figure.size;
        let Spread { count, low, median, p99, high } = figure.spread;
        let optional = |number: Option<f64>| number.map(|it| format!("{it:.1}")).unwrap_or_default();
        writeln!(
            text,
            "{},\"{}\",{},{},{},{},{:?},{count},{low:.1},{median:.1},{p99:.1},{high:.1},{},{},{},{}",
            figure.suite,
            figure.name,
            figure.condition,
            size.pods,
            size.policies,
            size.local_pods,
            figure.unit,
            optional(figure.floor.map(|it| it.median)),
            optional(figure.floor.map(|it| it.p99)),
            optional(figure.over_floor.map(|it| it.median)),
            optional(figure.nft),
        )
        .ok();
    }
    text
}

/// The suites of figures, in their order.
pub fn suites(figures: &[Figure]) -> Vec<String> {
    let mut suites: Vec<String> = figures.iter().map(|it| it.suite.clone()).collect();
    suites.dedup();
    suites
}

/// A number as people read it.
pub fn spelt(number: f64, unit: Unit) -> String {
    match unit {
        Unit::Count => grouped(number as u32),
        Unit::Bytes => format!("{:.1} MiB", number / f64::from(1 << 20)),
        Unit::Nanoseconds => match number {
            _ if number < 1_000.0 => format!("{number:.0} ns"),
            _ if number < 1e6 => format!("{:.1} us", number / 1e3),
            _ if number < 1e9 => format!("{:.2} ms", number / 1e6),
            _ => format!("{:.2} s", number / 1e9),
        },
    }
}

fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|it| std::str::from_utf8(it).expect("digits")).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Size;

    #[test]
    fn a_missed_budget_is_said() {
        let size = Size { pods: 10_000, policies: 1_000, local_pods: 110 };
        let figure = Figure::new("update", "pod add", "hot", size, Spread::of(vec![8_000.0, 9_000.0, 2e6]))
            .within(Measure::Median, 1e4)
            .within(Measure::P99, 1e6);
        let text = markdown(&[figure]);
        assert!(text.contains("| pod add, hot | 10,000 / 1,000 / 110 | 9.0 us | 2.00 ms |"), "{text}");
        assert!(text.contains("p50 10.0 us: met, p99 1.00 ms: **missed**"), "{text}");
    }
}
