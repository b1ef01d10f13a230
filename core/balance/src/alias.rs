//! Weighted draws in constant time: the alias method (Walker 1977, built as in Vose 1991).

use fastrand::Rng;

/// A table of columns of equal width. A column belongs to one member up to its threshold, and to another above.
#[derive(Debug)]
pub(crate) struct AliasTable {
    columns: Box<[Column]>,
}

#[derive(Debug)]
struct Column {
    /// Of 2³²: a coin below it means `own`.
    threshold: u32,
    own: u32,
    alias: u32,
}

impl AliasTable {
    /// A table over members (index, weight); weights must be positive and finite. There must be at least one.
    pub(crate) fn new(members: &[(u32, f64)]) -> Self {
        debug_assert!(!members.is_empty());
        let total: f64 = members.iter().map(|m| m.1).sum();
        let mut heights: Vec<f64> = members
            .iter()
            .map(|m| m.1 * members.len() as f64 / total)
            .collect();
        // What no neighbour tops up, by rounding or because it is full, is its own alias.
        let mut columns: Box<[Column]> = members
            .iter()
            .map(|m| Column {
                threshold: u32::MAX,
                own: m.0,
                alias: m.0,
            })
            .collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..members.len()).partition(|&i| heights[i] < 1.0);
        while let (Some(poor), Some(&rich)) = (small.pop(), large.last()) {
            columns[poor].threshold = (heights[poor] * f64::from(u32::MAX)) as u32;
            columns[poor].alias = members[rich].0;
            heights[rich] -= 1.0 - heights[poor];
            if heights[rich] < 1.0 {
                large.pop();
                small.push(rich);
            }
        }
        Self { columns }
    }

    /// One member, with the chance of its weight. Takes 64 random bits: half chooses the column, half is the coin.
    pub(crate) fn draw(&self, rng: &mut Rng) -> u32 {
        let bits = rng.u64(..);
        let column = &self.columns[(((bits >> 32) * self.columns.len() as u64) >> 32) as usize];
        if (bits as u32) < column.threshold {
            column.own
        } else {
            column.alias
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pearson's statistic of counted against expected shares.
    fn chi_square(counts: &[u32], weights: &[f64]) -> f64 {
        let drawn = f64::from(counts.iter().sum::<u32>());
        let total: f64 = weights.iter().sum();
        counts
            .iter()
            .zip(weights)
            .map(|(&count, weight)| {
                let expected = drawn * weight / total;
                (f64::from(count) - expected).powi(2) / expected
            })
            .sum()
    }

    fn counts(weights: &[f64], seed: u64, draws: u32) -> Vec<u32> {
        let members: Vec<_> = (0..).zip(weights.iter().copied()).collect();
        let table = AliasTable::new(&members);
        let mut rng = Rng::with_seed(seed);
        let mut counts = vec![0; weights.len()];
        for _ in 0..draws {
            counts[table.draw(&mut rng) as usize] += 1;
        }
        counts
    }

    #[test]
    fn follows_the_weights() {
        let cases: [&[f64]; 5] = [
            &[3.0, 1.0, 1.0],
            &[1.0, 1.0, 1.0, 1.0],
            &[0.3, 12.0, 7.5, 100.0, 1.0],
            &[1.0, 65535.0 / 100.0],
            &[10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0],
        ];
        for (seed, weights) in (1..).zip(cases) {
            let statistic = chi_square(&counts(weights, seed, 100_000), weights);
            // The 99.9 % quantile for 9 degrees of freedom is 27.9; for fewer it is less.
            assert!(statistic < 27.9, "{weights:?}: {statistic}");
        }
    }

    #[test]
    fn would_notice_a_wrong_weight() {
        let counts = counts(&[3.0, 1.0, 1.0], 1, 100_000);
        assert!(chi_square(&counts, &[3.0, 1.1, 0.9]) > 100.0);
    }

    #[test]
    fn one_member_is_always_drawn() {
        assert_eq!(counts(&[0.001], 3, 1000), [1000]);
    }

    #[test]
    fn the_columns_add_up_to_the_weights_exactly() {
        let weights: Vec<f64> = (1..=1000).map(|i| f64::from(i * i % 977 + 1)).collect();
        let members: Vec<_> = (0..).zip(weights.iter().copied()).collect();
        let table = AliasTable::new(&members);
        let mut mass = vec![0.0; weights.len()];
        for column in &table.columns {
            let own = f64::from(column.threshold) / f64::from(u32::MAX);
            mass[column.own as usize] += own;
            mass[column.alias as usize] += 1.0 - own;
        }
        let total: f64 = weights.iter().sum();
        for (mass, weight) in mass.iter().zip(&weights) {
            let share = weight / total * weights.len() as f64;
            assert!((mass - share).abs() < 1e-6, "{mass} is not {share}");
        }
    }
}
