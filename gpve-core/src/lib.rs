//! The gpve hexagon: vocabulary, ports, guest lifecycle, sagas, node engine and control plane.
