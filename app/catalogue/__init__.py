"""The catalogue: items, packs, substitutes and skills, in seven languages."""
