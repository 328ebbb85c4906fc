//! Weaves mutants into a file, each behind `crate::mutant(NUMBER)`. Text is inserted and none is reformatted, so that
//! what the compiler complains of can be traced to a mutant by place.

use std::ops::Range;

use crate::mutant::Mutant;
use crate::site::{Shape, Site, sites};

/// A file with its mutants in it.
pub struct Woven {
    /// The text.
    pub text: String,
    /// Where in the text each mutant is, in bytes, with its number.
    pub places: Vec<(Range<usize>, u32)>,
    /// The numbers of those for which there is no place.
    pub unplaced: Vec<u32>,
}

/// `mutants` are those of this file.
pub fn weave(source: &str, mutants: &[&Mutant]) -> Woven {
    let sites = sites(source, mutants);
    let mut writer = Writer { source, sites: &sites, text: String::new(), places: Vec::new() };
    writer.part(0..source.len(), None);
    let is_placed = |id: u32| sites.iter().flat_map(|site| &site.mutants).any(|mutant| mutant.id == id);
    let unplaced = mutants.iter().map(|mutant| mutant.id).filter(|id| !is_placed(*id)).collect();
    Woven { text: writer.text, places: writer.places, unplaced }
}

struct Writer<'a> {
    source: &'a str,
    sites: &'a [Site<'a>],
    text: String,
    places: Vec<(Range<usize>, u32)>,
}

impl Writer<'_> {
    /// A part of the source with the sites in it, but for the one that is being written.
    fn part(&mut self, range: Range<usize>, but: Option<&Site>) {
        let mut place = range.start;
        for site in self.sites {
            let is_inside = site.range.start >= place && site.range.end <= range.end;
            if is_inside && but.is_none_or(|but| but.range != site.range) {
                self.plain(place..site.range.start);
                self.site(site);
                place = site.range.end;
            }
        }
        self.plain(place..range.end);
    }

    fn plain(&mut self, range: Range<usize>) {
        self.text.push_str(&self.source[range]);
    }

    fn mutant(&mut self, mutant: &Mutant, text: &str) {
        let start = self.text.len();
        self.text.push_str(text);
        self.places.push((start..self.text.len(), mutant.id));
    }

    fn site(&mut self, site: &Site) {
        match &site.shape {
            Shape::Body => {
                self.plain(site.range.clone());
                for mutant in &site.mutants {
                    let Mutant { id, replacement, .. } = mutant;
                    self.mutant(mutant, &format!(" if crate::mutant({id}) {{ return {replacement}; }}"));
                }
            }
            Shape::Iterator => {
                self.text.push_str("Iterator::filter(");
                self.part(site.range.clone(), Some(site));
                self.text.push_str(", |_| true");
                for mutant in &site.mutants {
                    self.mutant(mutant, &format!(" && !crate::mutant({})", mutant.id));
                }
                self.text.push(')');
            }
            Shape::Binary { operator } => self.choice(site, |source, mutant| {
                let before = &source[site.range.start..operator.start];
                format!("{before}{}{}", mutant.replacement, &source[operator.end..site.range.end])
            }),
            Shape::Unary { operand } => self.choice(site, |source, _| source[operand.clone()].to_owned()),
            Shape::Arm { pattern, guard } => self.arm(site, pattern, guard.as_ref()),
            Shape::Field { name, value, base } => {
                self.text.push_str(&format!("{name}: "));
                for mutant in &site.mutants {
                    let base = &self.source[base.clone()];
                    let text = format!("if crate::mutant({}) {{ ({base}).{name}.clone() }} else ", mutant.id);
                    self.mutant(mutant, &text);
                }
                self.text.push_str("{ ");
                match value {
                    Some(value) => self.part(value.clone(), None),
                    None => self.text.push_str(name),
                }
                self.text.push_str(" }");
            }
        }
    }

    /// An expression, or what a mutant makes of it.
    fn choice(&mut self, site: &Site, changed: impl Fn(&str, &Mutant) -> String) {
        self.text.push('(');
        for mutant in &site.mutants {
            let text = changed(self.source, mutant);
            self.mutant(mutant, &format!("if crate::mutant({}) {{ {text} }} else ", mutant.id));
        }
        self.text.push_str("{ ");
        self.part(site.range.clone(), Some(site));
        self.text.push_str(" })");
    }

    /// An arm that a mutant deletes never matches. It stands before those that replace the guard.
    fn arm(&mut self, site: &Site, pattern: &Range<usize>, guard: Option<&Range<usize>>) {
        self.plain(pattern.clone());
        self.text.push_str(" if ");
        for mutant in &site.mutants {
            let test = if mutant.replacement == "true" {
                "(crate::mutant(ID) || "
            } else {
                "(!crate::mutant(ID) && "
            };
            self.mutant(mutant, &test.replace("ID", &mutant.id.to_string()));
        }
        self.text.push('(');
        match guard {
            Some(guard) => self.part(guard.clone(), None),
            None => self.text.push_str("true"),
        }
        self.text.push_str(&")".repeat(1 + site.mutants.len()));
    }
}
