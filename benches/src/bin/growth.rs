//! `cargo run --release -p lotbook-benches --bin growth -- [--long] [--json FILE] [--report FILE]`: what a trade costs as positions and lots grow, as a
//! table, as JSON, and as curves on a page. `--long`: a million positions too (about 1.1 GB).

use std::process::ExitCode;

use lotbook_benches::growth::{BARE, Point, by_lots, by_positions, chart};
use lotbook_perf::machine::Machine;

const USAGE: &str = "usage: growth [--long] [--json FILE] [--report FILE]";

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:920px;margin:32px auto}svg{width:100%}svg text{font-size:12px}\
    svg .end{text-anchor:end}svg .mid{text-anchor:middle}.grid{stroke:#dde0e3}.line{fill:none;stroke-width:2}.line.c1{stroke:#2563a8}\
    .line.c2{stroke:#c2571a}.legend{display:flex;gap:18px;font-size:13px}.legend i{display:inline-block;width:14px;height:3px;margin-right:6px}\
    i.c1{background:#2563a8}i.c2{background:#c2571a}";

fn main() -> ExitCode {
    let (mut json, mut report, mut is_long) = (None, None, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--long" => is_long = true,
            "--json" => json = args.next(),
            "--report" => report = args.next(),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let machine = Machine::here();
    println!("{}", machine.line());
    let (mut positions, mut lots) = (Vec::new(), Vec::new());
    for size in [1_000, 10_000, 100_000, 1_000_000].into_iter().take(if is_long { 4 } else { 3 }) {
        positions.extend(by_positions(size));
        print("positions", &positions);
    }
    for size in [1, 3, 10, 30, 100, 300, 1_000] {
        let from = lots.len();
        lots.extend(by_lots(size));
        print("lots", &lots[from..]);
    }
    let mut written = Ok(());
    if let Some(path) = json {
        let document = serde_json::json!({ "machine": machine, "by_positions": positions, "by_lots": lots });
        written = std::fs::write(path, format!("{document:#}\n"));
    }
    if let (Some(path), Ok(())) = (report, &written) {
        written = std::fs::write(path, page(&machine, &positions, &lots));
    }
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(5)
        }
    }
}

/// The points of the last size, on one line.
fn print(what: &str, points: &[Point]) {
    let Some(size) = points.last().map(|point| point.size) else { return };
    let words: Vec<String> = points
        .iter()
        .filter(|point| point.size == size)
        .map(|point| format!("{} {:.0}", point.way, point.ns))
        .collect();
    println!("{size:>9} {what:<9} ns a trade: {}", words.join(", "));
}

fn page(machine: &Machine, positions: &[Point], lots: &[Point]) -> String {
    let by_positions = chart("A trade by the number of positions", "positions", positions);
    let by_lots = chart("A trade by the number of lots of its position", "lots", lots);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Lotbook as it grows</title><style>{STYLE}</style></head><body>\
         <h1>What a trade costs as the work grows</h1><p>{}. Nanoseconds a trade, both scales by powers of ten; blue: decide and apply, orange: the {BARE}.</p>\
         <h2>{}</h2>{}<h2>{}</h2>{}</body></html>\n",
        machine.line(),
        by_positions.title,
        by_positions.svg(),
        by_lots.title,
        by_lots.svg()
    )
}
