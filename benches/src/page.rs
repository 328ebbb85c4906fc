//! All figures as one HTML page: how they grow as curves, then every number.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::figure::{Figure, Unit};
use crate::table;

const WIDTH_PX: u32 = 620;
const HEIGHT_PX: u32 = 360;
const STYLE: &str = "body{font:15px sans-serif;margin:2em;max-width:1300px}td,th{padding:2px 10px;text-align:left}\
                     td{border-top:1px solid #ddd}svg{margin:8px}";

/// A curve: its name, and points of size and nanoseconds.
type Curve = (String, Points);
type Points = Vec<(f64, f64)>;
/// What a curve is drawn by: its name, and where it is in a figure.
type Axis = (&'static str, fn(&Figure) -> u32);

/// The page.
pub fn html(figures: &[Figure]) -> Result<String> {
    let mut body = String::from("<h1>Podwall: what changes and packets cost</h1>");
    for (title, axis, curves) in charts(figures) {
        body.push_str(&chart(&title, axis, &curves)?);
    }
    for suite in table::suites(figures) {
        let of_suite: Vec<Figure> = figures.iter().filter(|it| it.suite == suite).cloned().collect();
        body.push_str(&as_html(&table::markdown(&of_suite)));
    }
    Ok(format!(
        "<!DOCTYPE html><meta charset=\"utf-8\"><title>Podwall benches</title><style>{STYLE}</style>{body}"
    ))
}

/// What is drawn: figures of one suite and condition that were measured at two sizes or more, by the size that differs.
fn charts(figures: &[Figure]) -> Vec<(String, &'static str, Vec<Curve>)> {
    let mut charts: BTreeMap<(String, &'static str), Vec<Curve>> = BTreeMap::new();
    let timed: Vec<&Figure> = figures.iter().filter(|it| it.unit == Unit::Nanoseconds).collect();
    let mut names: Vec<(&str, &str, &str)> =
        timed.iter().map(|it| (&*it.suite, &*it.condition, &*it.name)).collect();
    names.dedup();
    names.sort();
    names.dedup();
    for (suite, condition, name) in names {
        let same: Vec<&&Figure> = timed
            .iter()
            .filter(|it| it.suite == suite && it.condition == condition && it.name == name)
            .collect();
        let axes: [Axis; 2] = [("pods", |it| it.size.pods), ("policies", |it| it.size.policies)];
        for (axis, of) in axes {
            let Some((points, floor)) = curve(&same, of) else { continue };
            let title = format!("{suite}, {condition}").trim_end_matches(", ").to_owned();
            let curves = charts.entry((title, axis)).or_default();
            curves.push((name.to_owned(), points));
            if suite == "update" && name == "pod add" && floor.len() > 1 {
                curves.push(("pod add: the kernel's floor".to_owned(), floor));
            }
        }
    }
    charts.into_iter().map(|((title, axis), curves)| (title, axis, curves)).collect()
}

/// The medians by one part of the size, the other parts being the smallest that were measured at several.
fn curve(figures: &[&&Figure], of: fn(&Figure) -> u32) -> Option<(Points, Points)> {
    let (mut points, mut floor) = (BTreeMap::new(), BTreeMap::new());
    for figure in figures {
        let at = of(figure);
        let others = figure.size.pods.max(1) as u64 * figure.size.policies.max(1) as u64;
        let best = points.entry(at).or_insert((others, figure.spread.median));
        if others <= best.0 {
            *best = (others, figure.spread.median);
            floor.extend(figure.floor.map(|it| (at, it.median)));
        }
    }
    let points: Points = points.into_iter().map(|(at, (_, y))| (f64::from(at.max(1)), y)).collect();
    let floor = floor.into_iter().map(|(at, y)| (f64::from(at.max(1)), y)).collect();
    (points.len() > 1).then_some((points, floor))
}

fn chart(title: &str, axis: &str, curves: &[Curve]) -> Result<String> {
    let points = || curves.iter().flat_map(|(_, points)| points);
    let bounds = |of: fn(&(f64, f64)) -> f64| {
        let (low, high) = points().map(of).fold((f64::MAX, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
        (low * 0.7)..(high * 1.5)
    };
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH_PX, HEIGHT_PX)).into_drawing_area();
        let failed = |error: DrawingAreaErrorKind<_>| anyhow!("{title}: {error}");
        area.fill(&WHITE).map_err(failed)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(format!("{title}, by {axis}"), ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(35)
            .y_label_area_size(70)
            .build_cartesian_2d(bounds(|it| it.0).log_scale(), bounds(|it| it.1).log_scale())
            .map_err(failed)?;
        chart
            .configure_mesh()
            .x_desc(axis)
            .y_label_formatter(&|value| table::spelt(*value, Unit::Nanoseconds))
            .x_label_formatter(&|value| format!("{value:.0}"))
            .draw()
            .map_err(failed)?;
        for (index, (name, points)) in curves.iter().enumerate() {
            let colour = Palette99::pick(index).to_rgba();
            chart
                .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3))
                .map_err(failed)?
                .label(name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .label_font(("sans-serif", 11))
            .position(SeriesLabelPosition::UpperLeft)
            .draw()
            .map_err(failed)?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

/// Our own tables, which hold nothing that HTML would mind but the marks of Markdown.
fn as_html(markdown: &str) -> String {
    let mut html = String::new();
    for line in markdown.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            html.push_str(&format!("<h2>{title}</h2><table>"));
        } else if line.starts_with("|---") || line.is_empty() {
            continue;
        } else {
            let cells = line.trim_matches('|').split('|').map(|cell| cell.trim().replace("**", ""));
            html.push_str("<tr>");
            cells.for_each(|cell| html.push_str(&format!("<td>{cell}</td>")));
            html.push_str("</tr>");
        }
    }
    html + "</table>"
}
