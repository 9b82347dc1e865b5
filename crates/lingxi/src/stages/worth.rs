//! Events, and what is known of goods -> the chance that what is wanted comes of showing an item, on the shelf.

use crate::failure::UserError;
use crate::predict::views::goods;
use crate::progress::Unit;
use crate::shelf::Shelf;
use crate::site::Site;
use crate::stages::fit::{Lessons, Named};
use crate::stages::learn::file;
use anyhow::Result;
use lingxi_behaviour::BehaviourError;
use lingxi_behaviour::predict::worth::{self, Worth, WorthConfig};
use lingxi_data::Purpose;
use std::path::Path;
use std::sync::Arc;

/// The model, from the shelf or fitted.
///
/// # Errors
/// Settings out of range, or a shop in which too little of what is wanted comes of what is shown.
pub fn fit_worth(config: &WorthConfig, lessons: Lessons<'_>, site: &Site) -> Result<Named> {
    let key = Shelf::key(&[lessons.key, lessons.meaning_key()], &(config, site.seed));
    let make = || {
        let stage = site.progress.stage("predict", None, Unit::Of("steps"));
        let vectors = lessons.meaning.map(|meaning| meaning.vectors.as_ref());
        let goods = goods(lessons.catalog, lessons.knowledge, vectors, config.dims)?;
        let events = lessons.events.for_purpose(Purpose::Training);
        let mut said = String::new();
        let model = worth::fit(config, &events, goods, site.seed, &mut |heard| {
            stage.set(heard.step[0]);
            said = heard
                .valid_loss
                .map_or_else(|| heard.candidate.name().into(), |loss| format!("held-out loss {loss:.4}"));
        })
        .map_err(|why| match why {
            BehaviourError::Input { .. } => {
                let remedy = "name other kinds of events in models.predict.moments, or leave [models.predict] out";
                anyhow::Error::from(UserError::new(format!("models.predict: {why}"), remedy))
            }
            other => other.into(),
        })?;
        stage.finish(&said);
        Ok(model)
    };
    let load = |folder: &Path| Ok(Worth::load(&file(folder))?);
    let (model, _) = site.shelf.get("predict", key, load, make, |m, folder| Ok(m.save(&file(folder))?))?;
    Ok(Named { name: "predict".into(), model: Arc::new(model) })
}
