"""Export and upscaling."""
