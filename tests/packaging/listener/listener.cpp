// SPDX-License-Identifier: Apache-2.0
// Prints the name of a message's type, which links its type support.
#include <cstdio>
#include <fs_msgs/msg/compressed_latent.hpp>
#include <rosidl_typesupport_cpp/message_type_support.hpp>

int main()
{
  const fs_msgs::msg::CompressedLatent message;
  const auto * type = rosidl_typesupport_cpp::get_message_type_support_handle<fs_msgs::msg::CompressedLatent>();
  std::puts(rosidl_generator_traits::name<fs_msgs::msg::CompressedLatent>());
  return type != nullptr && message.data.empty() ? 0 : 1;
}
