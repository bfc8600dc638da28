"""Setting up units: certificates, images, cards, first boot."""
