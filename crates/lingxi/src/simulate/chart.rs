//! Curves as one SVG: a panel per figure, a line per arm.

use super::run::{Outcome, Point};
use std::fmt::Write;

const COLOURS: [&str; 8] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f"];
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 220.0;
const MARGIN: f64 = 48.0;

/// What a panel shows of each point.
type Figure = fn(&Point) -> f64;

/// The panels: title and figure.
const PANELS: [(&str, Figure); 5] = [
    ("clicks per slate", |point| point.reward),
    ("regret, summed up", |point| point.regret),
    ("new interests found", |point| point.discovered),
    ("goods shown", |point| point.coverage),
    ("distance of sellers' exposure from their share", |point| point.seller_gap),
];

/// The whole picture, three panels a row, the legend in the last one.
pub fn svg(outcomes: &[Outcome]) -> String {
    let (w, h) = (3.0 * (WIDTH + MARGIN) + MARGIN, 2.0 * (HEIGHT + 2.0 * MARGIN));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{w}\" height=\"{h}\" fill=\"white\"/>\n"
    );
    for (i, (title, figure)) in PANELS.iter().enumerate() {
        let (x, y) = corner(i);
        panel(&mut out, x, y, title, outcomes, *figure);
    }
    let (x, y) = corner(PANELS.len());
    for (i, outcome) in outcomes.iter().enumerate() {
        let line = y + 15.0 * i as f64;
        let (colour, dash) = style(i);
        let _ = writeln!(
            out,
            "<line x1=\"{x}\" y1=\"{line}\" x2=\"{}\" y2=\"{line}\" stroke=\"{colour}\" stroke-width=\"2\" {dash}/>\
             <text x=\"{}\" y=\"{}\">{}</text>",
            x + 28.0,
            x + 36.0,
            line + 4.0,
            outcome.name
        );
    }
    out + "</svg>\n"
}

fn corner(panel: usize) -> (f64, f64) {
    (MARGIN + (panel % 3) as f64 * (WIDTH + MARGIN), MARGIN + (panel / 3) as f64 * (HEIGHT + 2.0 * MARGIN))
}

fn style(arm: usize) -> (&'static str, &'static str) {
    (COLOURS[arm % COLOURS.len()], if arm < COLOURS.len() { "" } else { "stroke-dasharray=\"5 3\"" })
}

fn panel(out: &mut String, x: f64, y: f64, title: &str, outcomes: &[Outcome], figure: Figure) {
    let points = || outcomes.iter().flat_map(|outcome| &outcome.curve);
    let top = points().map(figure).fold(f64::MIN_POSITIVE, f64::max);
    let last = points().map(|point| point.decisions).max().unwrap_or(1) as f64;
    let _ = writeln!(
        out,
        "<text x=\"{x}\" y=\"{}\" font-size=\"13\">{title}</text>\
         <path d=\"M{x} {y}v{HEIGHT}h{WIDTH}\" fill=\"none\" stroke=\"#444\"/>\
         <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><text x=\"{}\" y=\"{}\" text-anchor=\"end\">0</text>\
         <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{last} slates</text>",
        y - 10.0,
        x - 4.0,
        y + 8.0,
        short(top),
        x - 4.0,
        y + HEIGHT,
        x + WIDTH,
        y + HEIGHT + 15.0,
    );
    for (i, outcome) in outcomes.iter().enumerate() {
        let (colour, dash) = style(i);
        let at = |point: &Point| {
            let (px, py) = (point.decisions as f64 / last * WIDTH, (1.0 - figure(point) / top) * HEIGHT);
            format!("{:.1},{:.1}", x + px, y + py)
        };
        let line: Vec<String> = outcome.curve.iter().map(at).collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" {dash}/>",
            line.join(" ")
        );
    }
}

fn short(value: f64) -> String {
    if value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
