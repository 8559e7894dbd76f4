/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Which hypervisors this build knows. The fake one is not among them: tests name it.
 */
#include "hv/hv.h"

#if MV_HAVE_KVM
extern const struct mv_hv_ops mv_kvm_ops;
#endif

const struct mv_hv_ops *const mv_hv_backends[] = {
#if MV_HAVE_KVM
    &mv_kvm_ops,
#endif
    NULL,
};
