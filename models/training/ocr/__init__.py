"""Training recipe of the plate reader: real crops and synthetic plates in, a bundle out."""
