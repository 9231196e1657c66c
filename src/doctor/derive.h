/* Facts that follow from others, as "is ...": what a rule cannot say by patterns alone. */
#ifndef DOCTOR_DERIVE_H
#define DOCTOR_DERIVE_H

#include "doctor/facts.h"

/* derive_facts: forgets every "is ..." and adds them anew:
 *
 *   is distro = debian|ubuntu|fedora|arch|other
 *   is place = host|wsl|docker|podman|kubernetes|lxc
 *   is box = yes, in a container                 is wsl, is jetson = yes
 *   is gpu = what shows that there is one        is usable = the GPU on which a test was right
 *   is driver ADDRESS = nvidia|nouveau|none ...  is dead ADDRESS: answers ff to every question
 *   is forgotten ADDRESS: the module does not drive it
 *   is module, is library = full versions        is branch = 570
 *   is mismatch = both versions                  is built, is unbuilt = about this kernel
 *   is secureboot = on                           is hostless: no module
 *   is uvmless: no nvidia-uvm                    is hidden = CUDA_VISIBLE_DEVICES hides all
 *   is stray = versions of libcuda's copies      is shadowed: WSL's libcuda is not the one found
 *   is stale FILE = version in a CDI description is old driver = CUDA it is for
 *   is xid N = line of the log                   is pid hidden = variable, is pid = that process
 *   is narrow N = PCIe width or generation       is slow heat|power|brake N = reasons
 *                                                (N as in "hot N": CUDA's number) */
void derive_facts(struct facts *f);

#endif
