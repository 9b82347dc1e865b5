//! What does the web of shoppers and goods say? One file per model, each with its paper, equations and shapes; all of them
//! end as a [`FoldIn`], which places a shopper by what they did up to this moment, so that fresh events count without a
//! new fit.
//!
//! [`fold_in`] is what serves, [`spectral`] keeps the broad waves of the graph, [`lightgcn`] learns representations that are smooth on
//! it, [`gcn`] turns what it mixes, [`gat`] decides whom to listen to, [`joint`]
//! brings graph and language together in one score. `propagation` is one step along the graph and its backward, [`loss`] and `contrast` say how wrong representations
//! are, [`train`] is the loop that the networks share.

pub(crate) mod contrast;
pub mod fold_in;
pub mod gat;
pub mod gcn;
pub mod joint;
pub mod lightgcn;
pub mod loss;
pub(crate) mod propagation;
pub mod spectral;
pub mod train;

pub use fold_in::{FoldIn, Voice};
pub use gat::GatConfig;
pub use gcn::GcnConfig;
pub use joint::JointConfig;
pub use lightgcn::LightGcnConfig;
pub use spectral::SpectralConfig;
