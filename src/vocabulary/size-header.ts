/** The request header in which clients tell the size of an image, and the proxy tells Glance. */
export const SIZE_HEADER = "x-openstack-image-size";
