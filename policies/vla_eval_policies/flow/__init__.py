"""The reference policy: a small vision-language-action model that every method trains and samples.

``network`` is the model, ``inputs`` turns observations into its tensors, ``checkpoint`` is its file,
``policy`` the spec ``flow:CHECKPOINT``.
"""
