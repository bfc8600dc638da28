"""From a blank card to an enrolled unit: certificates, images, cards, first boot."""
