"""What is asked of networks of treatments beyond their posterior: whether direct and indirect evidence agree."""

from bayesmeta.network.node_splitting import NodeSplits as NodeSplits
from bayesmeta.network.node_splitting import node_split as node_split
