//! Rounds to ratios to a table.

use serde_json::json;

/// A row of the table: two things measured in turns.
pub(crate) struct Comparison {
    /// What is compared.
    pub(crate) name: &'static str,
    /// What both are measured in.
    pub(crate) unit: &'static str,
    /// Headwater and what stands beside it, a pair for each round.
    pub(crate) rounds: Vec<(f64, f64)>,
    /// What the ratio must be.
    pub(crate) target: Target,
}

/// What a ratio must be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// Headwater may cost this many times as much.
    AtMost(f64),
    /// Headwater must do this many times as much.
    AtLeast(f64),
    /// For information.
    None,
}

/// All that was measured.
pub(crate) struct Report {
    isolated: bool,
    json: bool,
    rows: Vec<serde_json::Value>,
}

impl Report {
    /// An empty report; `isolated` if the run has a network of its own.
    pub(crate) fn new(isolated: bool, json: bool) -> Self {
        if !json {
            if !isolated {
                println!("no network of its own (unshare): pacing by the congestion control may distort the figures");
            }
            println!(
                "{:<46} {:>7}  {:<15} {:>6}  {:>10} {:>10}  {:<9} target",
                "row", "ratio", "spread", "rounds", "headwater", "bare", "unit"
            );
        }
        Self { isolated, json, rows: Vec::new() }
    }

    /// Adds a comparison; its first round warmed things up.
    pub(crate) fn add(&mut self, comparison: Comparison) {
        let rounds = &comparison.rounds[1.min(comparison.rounds.len() - 1)..];
        let ratios = sorted(rounds.iter().map(|(ours, bare)| ours / bare));
        let (ours, bare) = (sorted(rounds.iter().map(|pair| pair.0)), sorted(rounds.iter().map(|pair| pair.1)));
        let (ratio, low, high) = (middle(&ratios), quantile(&ratios, 0.25), quantile(&ratios, 0.75));
        let (target, met) = match comparison.target {
            Target::AtMost(limit) => (format!("<= {limit:.2}"), Some(ratio <= limit)),
            Target::AtLeast(limit) => (format!(">= {limit:.2}"), Some(ratio >= limit)),
            Target::None => (String::new(), None),
        };
        self.rows.push(json!({
            "row": comparison.name, "unit": comparison.unit, "ratio": ratio, "quartiles": [low, high],
            "rounds": rounds.len(), "headwater": middle(&ours), "bare": middle(&bare), "target": target, "met": met,
        }));
        if !self.json {
            let verdict = met.map_or("", |met| if met { "ok" } else { "MISSED" });
            println!(
                "{:<46} {ratio:>6.2}x  {:<15} {:>6}  {:>10.1} {:>10.1}  {:<9} {target} {verdict}",
                comparison.name,
                format!("{low:.2} to {high:.2}"),
                rounds.len(),
                middle(&ours),
                middle(&bare),
                comparison.unit,
            );
        }
    }

    /// Adds a figure that stands beside a limit of its own.
    pub(crate) fn figure(&mut self, name: &str, value: f64, unit: &str, limit: Option<f64>) {
        let met = limit.map(|limit| value <= limit);
        self.rows.push(json!({"row": name, "unit": unit, "headwater": value, "limit": limit, "met": met}));
        if !self.json {
            let target = limit.map_or(String::new(), |limit| format!("<= {limit:.0}"));
            let verdict = met.map_or("", |met| if met { "ok" } else { "MISSED" });
            println!(
                "{name:<46} {:>7}  {:<15} {:>6}  {value:>10.1} {:>10}  {unit:<9} {target} {verdict}",
                "", "", "", ""
            );
        }
    }

    /// Prints what is left to print.
    pub(crate) fn finish(&self) {
        if self.json {
            println!("{:#}", json!({"isolated": self.isolated, "rows": self.rows}));
        }
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn middle(sorted: &[f64]) -> f64 {
    quantile(sorted, 0.5)
}

/// Between the two nearest ranks.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_nearest_ranks() {
        let values = sorted([4.0, 1.0, 3.0, 2.0].into_iter());
        assert_eq!((middle(&values), quantile(&values, 0.25), quantile(&values, 1.0)), (2.5, 1.75, 4.0));
        assert!(quantile(&[], 0.5).is_nan());
    }
}
