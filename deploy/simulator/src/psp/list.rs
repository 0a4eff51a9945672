//! Stripe's lists: `limit`, `starting_after`, `has_more`.

use serde_json::{Value, json};

use super::error::StripeError;
use super::form::Params;

const DEFAULT_LIMIT: i64 = 10;
const MAX_LIMIT: i64 = 100;

#[derive(Debug)]
pub(super) struct Page {
    limit: usize,
    after: Option<String>,
}

impl Page {
    pub(super) fn read(params: &Params) -> Result<Self, StripeError> {
        Self::read_after(params, "starting_after")
    }

    /// A search goes on at `page`, which is opaque to clients.
    pub(super) fn read_for_search(params: &Params) -> Result<Self, StripeError> {
        Self::read_after(params, "page")
    }

    fn read_after(params: &Params, param: &str) -> Result<Self, StripeError> {
        let limit = params.integer("limit")?.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            let message = format!("This value must be between 1 and {MAX_LIMIT}.");
            return Err(StripeError::invalid(message)
                .code("parameter_invalid_integer")
                .param("limit"));
        }
        let after = params.text(param)?.map(str::to_owned);
        Ok(Self {
            limit: usize::try_from(limit).unwrap_or(1),
            after,
        })
    }

    /// This page of `all`, and whether more follows.
    pub(super) fn cut<'o, T>(
        &self,
        all: impl Iterator<Item = &'o T>,
        id: impl Fn(&T) -> &str,
    ) -> (Vec<&'o T>, bool) {
        let mut passed = self.after.is_none();
        let mut rest = all.filter(|object| {
            let take = passed;
            passed = passed || self.after.as_deref() == Some(id(object));
            take
        });
        let page: Vec<&T> = rest.by_ref().take(self.limit).collect();
        let has_more = rest.next().is_some();
        (page, has_more)
    }
}

pub(super) fn render(url: &str, data: &[Value], has_more: bool) -> Value {
    json!({ "object": "list", "url": url, "has_more": has_more, "data": data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_overlap() {
        let all = ["a", "b", "c", "d", "e"].map(str::to_owned);
        let mut seen: Vec<String> = Vec::new();
        let mut has_more = true;
        while has_more {
            let page = Page {
                limit: 2,
                after: seen.last().cloned(),
            };
            let (cut, more) = page.cut(all.iter(), |id| id);
            seen.extend(cut.into_iter().cloned());
            has_more = more;
        }
        assert_eq!(seen, all);
    }
}
