# Read by the scripts of this folder: how mpirun behaves on a single machine, where ranks may outnumber cores and where
# containers run as root.
export OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_hwloc_base_binding_policy=none # threads per rank are set by OMP_NUM_THREADS, not by pinning
export OMPI_MCA_mpi_yield_when_idle=1
if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
