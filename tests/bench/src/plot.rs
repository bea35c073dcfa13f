//! A picture of numbers: panels with both axes in powers of ten, one line a row.

use std::fmt::Write;

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 260.0;
/// Room for the axes' words.
const LEFT: f64 = 58.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 34.0;
/// Height of a row of the legend.
const ROW: f64 = 17.0;

/// Colours that people with any kind of sight can tell apart, dark to light.
const COLOURS: [&str; 6] = [
    "#332288", "#117733", "#882255", "#44aa99", "#cc6677", "#999933",
];

/// One line of a panel.
pub struct Line<'a> {
    /// What it shows.
    pub name: &'a str,
    /// Its points, both coordinates above zero.
    pub points: Vec<(f64, f64)>,
}

/// One picture of several side by side; all have the same lines.
pub struct Panel<'a> {
    /// What it shows.
    pub title: &'a str,
    /// What is along the vertical axis.
    pub unit: &'a str,
    /// Its lines.
    pub lines: Vec<Line<'a>>,
}

/// Powers of ten around some numbers.
#[derive(Clone, Copy)]
struct Decades {
    first: i32,
    last: i32,
}

impl Decades {
    fn around(values: impl Iterator<Item = f64> + Clone) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min).log10().floor();
        let most = values.fold(1.0, f64::max).log10().ceil();
        let first = least as i32;
        Self {
            first,
            last: (most as i32).max(first + 1),
        }
    }

    /// Where a value lies, from 0 to 1.
    fn place(self, value: f64) -> f64 {
        (value.log10() - f64::from(self.first)) / f64::from(self.last - self.first)
    }
}

/// Draws panels side by side, with one legend below.
pub fn svg(panels: &[Panel<'_>]) -> String {
    let lines = panels.first().map_or(0, |panel| panel.lines.len());
    let rows = lines.div_ceil(2) as f64;
    let width = panels.len() as f64 * (LEFT + WIDTH) + 20.0;
    let height = TOP + HEIGHT + BOTTOM + rows * ROW + 10.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (nr, panel) in panels.iter().enumerate() {
        draw_panel(&mut out, panel, LEFT + nr as f64 * (LEFT + WIDTH));
    }
    if let Some(panel) = panels.first() {
        for (nr, line) in panel.lines.iter().enumerate() {
            let x = LEFT + (nr % 2) as f64 * (LEFT + WIDTH);
            let y = TOP + HEIGHT + BOTTOM + (nr / 2) as f64 * ROW + 8.0;
            add(
                &mut out,
                &format!(
                    "<line x1=\"{x}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\" {}/>\
                 <text x=\"{}\" y=\"{}\">{}</text>",
                    x + 26.0,
                    stroke(nr),
                    x + 32.0,
                    y + 4.0,
                    escaped(line.name)
                ),
            );
        }
    }
    out + "</svg>\n"
}

fn draw_panel(out: &mut String, panel: &Panel<'_>, left: f64) {
    let points = panel.lines.iter().flat_map(|line| &line.points);
    let across = Decades::around(points.clone().map(|(x, _)| *x));
    let up = Decades::around(points.map(|(_, y)| *y));
    let x = |value| left + across.place(value) * WIDTH;
    let y = |value| TOP + HEIGHT - up.place(value) * HEIGHT;
    add(
        out,
        &format!(
            "<text x=\"{left}\" y=\"{}\" font-size=\"13\">{} ({}) by number of files</text>",
            TOP - 12.0,
            panel.title,
            panel.unit
        ),
    );
    for power in up.first..=up.last {
        let at = y(10f64.powi(power));
        add(
            out,
            &format!(
                "<line x1=\"{left}\" y1=\"{at}\" x2=\"{}\" y2=\"{at}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                left + WIDTH,
                left - 6.0,
                at + 4.0,
                power_of_ten(power)
            ),
        );
    }
    for power in across.first..=across.last {
        let at = x(10f64.powi(power));
        add(
            out,
            &format!(
                "<line x1=\"{at}\" y1=\"{TOP}\" x2=\"{at}\" y2=\"{}\" stroke=\"#ddd\"/>\
             <text x=\"{at}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                TOP + HEIGHT,
                TOP + HEIGHT + 16.0,
                power_of_ten(power)
            ),
        );
    }
    for (nr, line) in panel.lines.iter().enumerate() {
        let points: Vec<_> = line
            .points
            .iter()
            .map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b)))
            .collect();
        add(
            out,
            &format!(
                "<polyline points=\"{}\" fill=\"none\" {}/>",
                points.join(" "),
                stroke(nr)
            ),
        );
    }
}

fn add(out: &mut String, element: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{element}");
}

/// A colour, and dashes once the colours have been used.
fn stroke(nr: usize) -> String {
    let colour = COLOURS[nr % COLOURS.len()];
    let dashes = if nr < COLOURS.len() {
        ""
    } else {
        " stroke-dasharray=\"5 3\""
    };
    format!("stroke=\"{colour}\" stroke-width=\"2\"{dashes}")
}

fn power_of_ten(power: i32) -> String {
    match power {
        0..=5 => 10u64.pow(power.unsigned_abs()).to_string(),
        6 => "1 M".to_owned(),
        other => format!("{:e}", 10f64.powi(other)),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_times_as_much_is_one_step_further() {
        let decades = Decades::around([3.0, 2000.0].into_iter());
        assert_eq!((decades.first, decades.last), (0, 4));
        let step = decades.place(100.0) - decades.place(10.0);
        assert!((step - 0.25).abs() < 1e-9);
    }

    #[test]
    fn a_picture_has_every_line_in_every_panel() {
        let line = |name| Line {
            name,
            points: vec![(1.0, 2.0), (10.0, 30.0)],
        };
        let panel = |title| Panel {
            title,
            unit: "ms",
            lines: vec![line("a<b"), line("c")],
        };
        let text = svg(&[panel("One"), panel("Two")]);
        assert_eq!(text.matches("<polyline").count(), 4);
        assert!(text.contains("a&lt;b") && !text.contains("NaN"));
    }
}
