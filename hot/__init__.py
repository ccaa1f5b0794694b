"""hot: provably best networks for a device, trained, quantised and measured."""
