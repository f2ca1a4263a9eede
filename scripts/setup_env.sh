# Sourced by scripts/demo and scripts/test: leaves a working .venv at the project's root.
#
# ris_setup EXTRA,EXTRA   creates or reuses .venv with these extras of the package; afterwards
#                         $RIS_PYTHON is its interpreter.
#
# Settings (environment variables):
#   RIS_BASE_PYTHON   interpreter to build .venv from (default: the first of 3.12, 3.11, 3.10)
#   RIS_TORCH         torch requirements that replace the pinned ones,
#                     e.g. "torch==2.14.1+cpu torchvision==0.29.1+cpu"
#   RIS_TORCH_INDEX   package index to take torch and torchvision from
#
# With a sourced ROS 2 ($ROS_DISTRO set and rclpy importable) that ROS 2 is used; otherwise ROS 2
# comes from the package index.

RIS_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
RIS_VENV=$RIS_ROOT/.venv
RIS_PYTHON=$RIS_VENV/bin/python

ris_say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
ris_fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# What an interpreter of another environment hands down keeps rclpy of this one from loading.
ris_clean_environment() {
  if [ -n "${_ROS_WHEELS_BOOTSTRAP_COMPLETE:-}" ]; then
    unset _ROS_WHEELS_BOOTSTRAP_COMPLETE LD_LIBRARY_PATH
  fi
  unset PYTHONHOME
}

ris_fits() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
    >/dev/null 2>&1
}

ris_find_python() {
  local candidate
  if [ -n "${RIS_BASE_PYTHON:-}" ]; then
    ris_fits "$RIS_BASE_PYTHON" || ris_fail "RIS_BASE_PYTHON=$RIS_BASE_PYTHON is no Python 3.10 to 3.12 with venv"
    command -v "$RIS_BASE_PYTHON"
    return
  fi
  # The python3 in front comes first: it is the one a sourced ROS 2 belongs to.
  for candidate in python3 python3.12 python3.11 python3.10; do
    if command -v "$candidate" >/dev/null 2>&1 && ris_fits "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  ris_fail 'no Python 3.10, 3.11 or 3.12 with the venv module was found; on Debian or Ubuntu: apt-get install python3 python3-venv'
}

ris_has_sourced_ros() {
  [ -n "${ROS_DISTRO:-}" ] && [ -n "${AMENT_PREFIX_PATH:-}" ] &&
    "$1" -c 'import rclpy, sensor_msgs.msg' >/dev/null 2>&1
}

# ris_apt PROBE PACKAGE...: installs system packages unless PROBE succeeds already.
ris_apt() {
  local probe=$1
  shift
  if bash -c "$probe" >/dev/null 2>&1; then return 0; fi
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    ris_say "installing system packages: $*"
    if DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >/dev/null 2>&1; then return 0; fi
    apt-get update -qq >/dev/null 2>&1 || true
    if DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >&2; then return 0; fi
  fi
  return 1
}

ris_system_packages() {
  # MuJoCo draws without a display through OSMesa, or through EGL where there is a GPU driver.
  if [ ! -e /dev/nvidia0 ]; then
    ris_apt '{ ldconfig -p || /sbin/ldconfig -p; } | grep -q libOSMesa' libosmesa6 ||
      ris_fail 'the simulated camera needs libOSMesa; as root: apt-get install libosmesa6'
  fi
  case " $* " in
    *" language "*)
      ris_apt 'test -e /usr/share/wordnet/data.noun' wordnet-base ||
        printf 'note: WordNet is not installed; tests that need it are skipped (apt-get install wordnet-base)\n' >&2 ;;
  esac
}

ris_setup() {
  local extras=$1 base ros_kind=wheels stamp=$RIS_VENV/.ris_setup libraries code have started=$SECONDS
  ris_clean_environment
  base=$(ris_find_python) || exit 1
  if ris_has_sourced_ros "$base"; then ros_kind="sourced $ROS_DISTRO"; fi
  ris_system_packages "${extras//,/ }"

  libraries=$(ris_libraries_key "$extras|$ros_kind")
  code=$(ris_code_key)
  have=$(cat "$stamp" 2>/dev/null || true)
  if [ "$have" != "$libraries $code" ] || ! "$RIS_PYTHON" -c 'import numpy, rclpy' 2>/dev/null; then
    if [ "${have%% *}" = "$libraries" ] && "$RIS_PYTHON" -c 'import numpy, rclpy' 2>/dev/null; then
      ris_say 'putting the changed package into .venv'
      ris_install_package
    else
      ris_install_everything "$base" "$extras" "$ros_kind"
      ris_say "set up in $((SECONDS - started)) s"
    fi
    printf '%s %s' "$libraries" "$code" >"$stamp.part" && mv "$stamp.part" "$stamp"
  fi
}

# What decides which libraries are in .venv.
ris_libraries_key() {
  {
    cat "$RIS_ROOT/setup.py" "$RIS_ROOT/scripts/setup_env.sh"
    printf '%s|%s|%s|%s' "$1" "${RIS_TORCH:-}" "${RIS_TORCH_INDEX:-}" "${RIS_BASE_PYTHON:-}"
  } | sha256sum | cut -d' ' -f1
}

# What decides whether the package in .venv is that of the checkout: every file's name, size and time.
ris_code_key() {
  (cd "$RIS_ROOT" && find ris_ros config launch resource scripts/nodes package.xml setup.py \
    -type f -not -path '*/__pycache__/*' -printf '%p %s %T@\n' | LC_ALL=C sort | sha256sum | cut -d' ' -f1)
}

ris_install_everything() {
  local base=$1 extras=$2 ros_kind=$3
  ris_say "setting up .venv with $("$base" -V), ROS 2: $ros_kind (the first time several minutes and GB)"
  if [ "$ros_kind" = wheels ]; then
    [ -x "$RIS_PYTHON" ] || "$base" -m venv "$RIS_VENV" || ris_fail "no virtual environment can be made in $RIS_VENV"
    extras=$extras,ros
  else
    [ -x "$RIS_PYTHON" ] || "$base" -m venv --system-site-packages "$RIS_VENV" || ris_fail "no virtual environment can be made in $RIS_VENV"
  fi
  ris_fits "$RIS_PYTHON" || ris_fail ".venv is broken or has another Python; remove it and run this again: rm -rf $RIS_VENV"
  ris_pip --quiet 'setuptools>=65' wheel || ris_fail 'pip cannot install packages; check the network or the package index'
  if [ -n "${RIS_TORCH:-}${RIS_TORCH_INDEX:-}" ]; then
    ris_say 'installing torch from your settings'
    # shellcheck disable=SC2086  # several requirements in one setting
    ris_pip ${RIS_TORCH:-torch==2.14.1 torchvision==0.29.1} ${RIS_TORCH_INDEX:+--index-url "$RIS_TORCH_INDEX"} ||
      ris_fail 'torch could not be installed; check RIS_TORCH and RIS_TORCH_INDEX'
  fi
  ris_say "installing the libraries of the extras $extras"
  "$RIS_PYTHON" "$RIS_ROOT/scripts/requirements.py" ${RIS_TORCH:+--without torch,torchvision} "$extras" \
    >"$RIS_VENV/requirements.txt" &&
    ris_pip -r "$RIS_VENV/requirements.txt" | { grep -v -e '^Requirement already' -e '^Ignoring ' || true; } ||
    ris_fail 'the libraries could not be installed; see the message above'
  ris_install_package
  "$RIS_PYTHON" -c 'import ris_ros, rclpy, sensor_msgs.msg' ||
    ris_fail "ROS 2 ($ros_kind) cannot be imported from .venv; remove .venv and run this again: rm -rf $RIS_VENV"
}

ris_pip() { "$RIS_PYTHON" -m pip install --disable-pip-version-check "$@"; }

# Not editable, for then the package's share/ would be missing from the environment.
ris_install_package() {
  ris_pip --quiet --no-deps --no-build-isolation --force-reinstall "$RIS_ROOT" ||
    ris_fail 'the package could not be installed into .venv'
  rm -rf "$RIS_ROOT/build" "$RIS_ROOT/ris_ros.egg-info"
}
