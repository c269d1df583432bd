"""Planners, one module per recipe: what to mix with what, from listings alone and from named seeds."""
