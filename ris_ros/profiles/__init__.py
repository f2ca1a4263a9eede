"""Profiles: which weights stand behind the methods, and which settings go with them.

A profile is a file, YAML or JSON; the shipped ones are in ris_ros/data/profiles, a user's own
in the folder RIS_PROFILE_DIR, in ~/.config/ris_ros/profiles, or anywhere when named by its
path.  The shipped ones are JSON, which needs no library.
"""
from ris_ros.profiles.find import all_profiles, get_profile
from ris_ros.profiles.networks import Networks
from ris_ros.profiles.profile import Profile

__all__ = ['Networks', 'Profile', 'all_profiles', 'get_profile']
